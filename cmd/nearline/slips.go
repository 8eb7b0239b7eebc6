package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nearline/internal/spelling"
)

// heedSlips has every command answer a slip of the hand with what was probably meant: a file without its flag, a flag that is another
// command's, two that exclude each other, a number without its unit. What the libraries say of these tells what rule was broken, and not what
// to type.
func heedSlips(c *cobra.Command) {
	if validate := c.Args; validate != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := validate(c, args); err != nil {
				return argumentSlip(c, args)
			}
			return nil
		}
	}
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error { return unreached(c, run(c, args)) }
	}
	for _, sub := range c.Commands() {
		heedSlips(sub)
	}
}

// argumentSlip says what a command does with its arguments, and where those were meant to go that it does not take.
func argumentSlip(c *cobra.Command, args []string) error {
	wants := strings.TrimPrefix(strings.TrimPrefix(c.Use, c.Name()), " ")
	if len(args) == 0 {
		return fmt.Errorf("%s wants %s%s", c.CommandPath(), wants, example(c))
	}
	first := args[0]
	if c.HasAvailableSubCommands() {
		names := commandNames(c)
		if near := spelling.Nearest(first, names); near != "" {
			return fmt.Errorf("unknown command %q: did you mean %s %s? There are %s", first, c.CommandPath(), near, strings.Join(names, ", "))
		}
		return fmt.Errorf("unknown command %q: want one of %s, see %s --help", first, strings.Join(names, ", "), c.CommandPath())
	}
	if wants != "" && !strings.HasPrefix(wants, "{") && !strings.HasPrefix(wants, "-") {
		return fmt.Errorf("%s wants %s, and got %d arguments: %s", c.CommandPath(), wants, len(args), strings.Join(args, " "))
	}
	if flag := c.Flags().Lookup(first); flag != nil {
		return fmt.Errorf("%s takes no argument %q: did you mean --%s?", c.CommandPath(), first, flag.Name)
	}
	if flag := meant(c, first); flag != "" {
		return fmt.Errorf("%s takes no argument %q: did you mean %s --%s %s?", c.CommandPath(), first, c.CommandPath(), flag, first)
	}
	return fmt.Errorf("%s takes no argument %q: see %s --help", c.CommandPath(), first, c.CommandPath())
}

// meant is the flag that an argument was probably meant for.
func meant(c *cobra.Command, argument string) string {
	candidates := []string{"config", "in", "rows", "topic"}
	if extension := argument[strings.LastIndexByte(argument, '.')+1:]; extension != "yaml" && extension != "yml" && c.Flags().Lookup("config") != nil {
		candidates = []string{"in", "rows", "topic", "config"}
	}
	for _, name := range candidates {
		if c.Flags().Lookup(name) != nil {
			return name
		}
	}
	return ""
}

func commandNames(c *cobra.Command) (names []string) {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return names
}

// example is the first that a command's help has.
func example(c *cobra.Command) string {
	first, _, _ := strings.Cut(strings.TrimSpace(c.Example), "\n")
	if first == "" {
		return ": see " + c.CommandPath() + " --help"
	}
	first, _, _ = strings.Cut(first, "  #")
	return ", such as " + strings.TrimSpace(first)
}

// flagSlip says what is wrong with a flag that could not be read.
func flagSlip(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	var empty *pflag.ValueRequiredError
	switch {
	case errors.As(err, &unknown):
		return unknownFlag(c, unknown, err)
	case errors.As(err, &invalid):
		flag := invalid.GetFlag()
		if wants := kindOf(flag.Value.Type()); wants != "" {
			return fmt.Errorf("--%s is %q: want %s", flag.Name, invalid.GetValue(), wants)
		}
		return fmt.Errorf("--%s is %q: %w", flag.Name, invalid.GetValue(), errors.Unwrap(invalid))
	case errors.As(err, &empty):
		name, _ := pflag.UnquoteUsage(empty.GetFlag())
		return fmt.Errorf("flag needs an argument: --%s %s", empty.GetFlag().Name, name)
	}
	return fmt.Errorf("%w: see %s --help", err, c.CommandPath())
}

func unknownFlag(c *cobra.Command, unknown *pflag.NotExistError, err error) error {
	name := unknown.GetSpecifiedName()
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if unknown.GetSpecifiedShortnames() != "" { // of which there are none, but -h
		for _, long := range names {
			if strings.HasPrefix(long, name) {
				return fmt.Errorf("%w: did you mean --%s? Flags have no short names here", err, long)
			}
		}
	}
	if near := spelling.Nearest(name, names); near != "" {
		return fmt.Errorf("%w: did you mean --%s? See %s --help", err, near, c.CommandPath())
	}
	for _, sub := range c.Commands() {
		if sub.Flags().Lookup(name) != nil {
			return fmt.Errorf("%w: it is one of %s %s: put it after that", err, c.CommandPath(), sub.Name())
		}
	}
	return fmt.Errorf("%w: see %s --help", err, c.CommandPath())
}

// kindOf a flag says what it takes.
func kindOf(kind string) string {
	switch kind {
	case "int", "int16", "int64", "uint64":
		return "a whole number"
	case "float64":
		return "a number"
	case "duration":
		return "a duration with its unit, such as 500ms, 10s or 5m"
	case "bool":
		return "true or false, after a =, or nothing"
	}
	return ""
}

// The annotations of cobra's groups of flags.
const (
	exclusive = "cobra_annotation_mutually_exclusive"
	oneOf     = "cobra_annotation_one_required"
	together  = "cobra_annotation_required_if_others_set"
)

// checkFlags says what is wrong with flags that could all be read.
func checkFlags(c *cobra.Command) (err error) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if err == nil {
			err = errors.Join(missing(c, f), flagGroups(c, f), checkValue(f))
		}
	})
	return err
}

func missing(c *cobra.Command, f *pflag.Flag) error {
	if len(f.Annotations[cobra.BashCompOneRequiredFlag]) == 0 || f.Changed {
		return nil
	}
	value, usage := pflag.UnquoteUsage(f)
	return fmt.Errorf("--%s is missing: want %s --%s %s (%s)", f.Name, c.CommandPath(), f.Name, value, usage)
}

// flagGroups that a flag is the first of.
func flagGroups(c *cobra.Command, f *pflag.Flag) error {
	groups := func(kind string) (groups [][]string) {
		for _, group := range f.Annotations[kind] {
			if names := strings.Fields(group); names[0] == f.Name {
				groups = append(groups, names)
			}
		}
		return groups
	}
	set := func(names []string) (set []string) {
		for _, name := range names {
			if c.Flags().Changed(name) {
				set = append(set, "--"+name)
			}
		}
		return set
	}
	for _, names := range groups(exclusive) {
		if both := set(names); len(both) > 1 {
			why := ""
			if slices.Contains(names, "config") {
				why = ": the configuration says that already"
			}
			return fmt.Errorf("%s exclude each other%s: leave one of them out", strings.Join(both, " and "), why)
		}
	}
	for _, names := range groups(oneOf) {
		if len(set(names)) == 0 {
			return fmt.Errorf("%s wants --%s", c.CommandPath(), strings.Join(names, " or --"))
		}
	}
	for _, names := range groups(together) {
		if given := set(names); len(given) > 0 && len(given) < len(names) {
			for _, name := range names {
				if !c.Flags().Changed(name) {
					value, usage := pflag.UnquoteUsage(c.Flags().Lookup(name))
					return fmt.Errorf("%s wants --%s %s, too (%s)", strings.Join(given, " and "), name, value, usage)
				}
			}
		}
	}
	return nil
}

// checkValue of a flag: there is less than nothing of nothing here, and brokers have no scheme.
func checkValue(f *pflag.Flag) error {
	if !f.Changed {
		return nil
	}
	text := f.Value.String()
	switch f.Value.Type() {
	case "int", "int64", "float64":
		if n, err := strconv.ParseFloat(text, 64); err == nil && (n < 0 || math.IsNaN(n) || math.IsInf(n, 0)) {
			return fmt.Errorf("--%s is %s: want 0 or more", f.Name, text)
		}
	case "duration":
		if strings.HasPrefix(text, "-") {
			return fmt.Errorf("--%s is %s: want 0s or more", f.Name, text)
		}
	case "stringSlice":
		if f.Name != "kafka" && f.Name != "direct" {
			return nil
		}
		values, ok := f.Value.(pflag.SliceValue)
		if !ok {
			return nil
		}
		for _, broker := range values.GetSlice() {
			if broker == "" || strings.ContainsAny(broker, "/ ") {
				return fmt.Errorf("--%s is %q: want HOST:PORT, such as kafka:9092", f.Name, broker)
			}
		}
	}
	return nil
}

// unreached adds what to do where no broker answers.
func unreached(c *cobra.Command, err error) error {
	var dial *net.OpError
	if err == nil || !errors.As(err, &dial) || dial.Op != "dial" || !strings.Contains(err.Error(), "reach [") {
		return err
	}
	name := "--kafka HOST:PORT"
	if c.Flags().Lookup("kafka") == nil {
		name = "kafka.brokers"
	} else if config := c.Flags().Lookup("config"); config != nil {
		name = "--kafka HOST:PORT, or kafka.brokers of the configuration"
		if !config.Changed {
			name = "--kafka HOST:PORT, or --config FILE"
		}
	}
	return fmt.Errorf("%w: is the broker up, and is its address right (%s)? nearline dev starts one on this machine", err, name)
}
