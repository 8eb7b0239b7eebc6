package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nearline/internal/acls"
	"nearline/internal/config"
	"nearline/internal/tables"
)

// aclFlags are what `nearline acls` can be told.
type aclFlags struct {
	by                      acls.Grantor
	purposes                []string
	least, table, zookeeper bool
}

func aclsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "acls --config FILE [--principal TYPE:NAME]",
		Short: "Print the kafka-acls.sh commands that let a principal do what a configuration asks for",
		Long: `Prints what brokers have to allow, where they deny what no ACL allows: a kafka-acls.sh command for each resource, with the reason above it. First
comes what nearline run cannot work without, then what it works less well without. What other commands need beside that follows as comments, since it
is better granted to the people who give them than to the service; --for prints it as commands. No broker is asked: nearline check says which
of the service's rights are missing.

The purposes are run (the service), check (nearline check --production, beside run), topics (nearline topics --create), dlq (nearline dlq list, replay, dismiss), export (nearline features export) and
torture (nearline torture --config).`,
		Example: `  nearline acls --config nearline.yaml --principal User:nearline
  nearline acls --config nearline.yaml --principal User:nearline --least | sh
  nearline acls --config nearline.yaml --principal User:ann --for dlq,export --command-config admin.properties
  nearline acls --config nearline.yaml --principal User:nearline --table`,
		Args: cobra.NoArgs,
	}
	file := configFlag(c)
	var f aclFlags
	c.Flags().StringVar(&f.by.Principal, "principal", "", "`TYPE:NAME` that is granted the rights, as the brokers know it (default: User:USER of kafka.sasl, where that names a user)")
	c.Flags().StringVar(&f.by.Bootstrap, "bootstrap-server", "", "`HOST:PORT` that kafka-acls.sh asks (default: kafka.brokers of the configuration)")
	c.Flags().StringVar(&f.by.Config, "command-config", "", "`FILE` that kafka-acls.sh authenticates with (default: "+acls.PropertiesFile+", where kafka.tls or kafka.sasl is set)")
	c.Flags().StringSliceVar(&f.purposes, "for", nil, "`PURPOSES` whose commands are printed: run, check, topics, dlq, export, torture (default: run)")
	c.Flags().BoolVar(&f.least, "least", false, "only what a purpose cannot be served without")
	c.Flags().BoolVar(&f.zookeeper, "zookeeper", false, "for brokers that keep ACLs in ZooKeeper, where no name may have a slash")
	c.Flags().BoolVar(&f.table, "table", false, "a table of the rights instead of commands")
	c.RunE = func(c *cobra.Command, _ []string) error {
		purposes, err := acls.ParsePurposes(f.purposes)
		if err != nil {
			return fmt.Errorf("--for: %w", err)
		}
		loaded, err := loadConfig(c, *file)
		if err != nil {
			return err
		}
		f.by.Principal = cmp.Or(f.by.Principal, acls.Principal(loaded.Kafka.Config))
		if err := acls.CheckPrincipal(f.by.Principal); err != nil {
			return fmt.Errorf("--principal: %w", err)
		}
		if f.by.Bootstrap == "" {
			f.by.Bootstrap = strings.Join(loaded.Kafka.Brokers, ",")
		}
		f.by.Config = cmp.Or(f.by.Config, acls.CommandConfig(loaded.Kafka.Config))
		if f.table {
			return f.writeTable(c.OutOrStdout(), loaded, purposes)
		}
		f.writeCommands(c.OutOrStdout(), loaded, purposes)
		return nil
	}
	return c
}

// rights of a purpose that are to be printed.
func (f aclFlags) rights(c *config.Config, purpose acls.Purpose) []acls.Right {
	rights := acls.Of(c, purpose)
	if f.zookeeper {
		rights = acls.ForZooKeeper(rights)
	}
	if f.least {
		rights = slices.DeleteFunc(rights, func(r acls.Right) bool { return !r.Needed() })
	}
	return rights
}

// writeCommands of the purposes that are named, and of all others as comments where none is.
func (f aclFlags) writeCommands(out io.Writer, c *config.Config, purposes []acls.Purpose) {
	if f.by.Config != "" && f.by.Config == acls.CommandConfig(c.Kafka.Config) { // nobody has named another
		fmt.Fprintf(out, "# %s is a file with what kafka-acls.sh logs in with, as somebody who may change ACLs:\n", f.by.Config)
		for _, line := range acls.Properties(c.Kafka.Config) {
			fmt.Fprintf(out, "#   %s\n", line)
		}
	}
	if len(purposes) > 0 {
		for _, purpose := range purposes {
			f.writePurpose(out, c, purpose, "")
		}
		return
	}
	f.writePurpose(out, c, acls.Service, "")
	for _, purpose := range acls.Purposes()[1:] {
		if len(f.rights(c, purpose)) > 0 {
			fmt.Fprintf(out, "\n# As commands by --for %s:\n", purpose)
			f.writePurpose(out, c, purpose, "# ")
		}
	}
}

// writePurpose writes the commands for one purpose, each line after a prefix.
func (f aclFlags) writePurpose(out io.Writer, c *config.Config, purpose acls.Purpose, prefix string) {
	var needed, wanted []acls.Grant
	for _, grant := range acls.Grants(f.rights(c, purpose)) {
		if grant.Needed() {
			needed = append(needed, grant)
		} else {
			wanted = append(wanted, grant)
		}
	}
	fmt.Fprintf(out, "%s# %s does not work without these:\n", prefix, purpose.Command())
	f.writeGrants(out, needed, prefix)
	if len(wanted) > 0 {
		fmt.Fprintf(out, "%s# It works without these, but less well:\n", prefix)
		f.writeGrants(out, wanted, prefix)
	}
}

func (f aclFlags) writeGrants(out io.Writer, grants []acls.Grant, prefix string) {
	for _, g := range grants {
		fmt.Fprintf(out, "%s# %s\n", prefix, strings.Join(g.Why, "; "))
		if len(g.Without) > 0 {
			fmt.Fprintf(out, "%s# Without: %s\n", prefix, strings.Join(g.Without, "; "))
		}
		command := g.Command(f.by)
		if g.Until != "" {
			fmt.Fprintf(out, "%s# Only brokers before Kafka %s ask for it:\n", prefix, g.Until)
			command = "# " + command
		}
		fmt.Fprintf(out, "%s%s\n", prefix, command)
	}
}

func (f aclFlags) writeTable(out io.Writer, c *config.Config, purposes []acls.Purpose) error {
	if len(purposes) == 0 {
		purposes = acls.Purposes()
	}
	table := tables.New(2, "FOR", "RESOURCE", "PATTERN", "OPERATION", "WHY, AND WHAT IS LOST WITHOUT IT")
	for _, purpose := range purposes {
		for _, r := range f.rights(c, purpose) {
			pattern := "literal"
			if r.Resource.Prefixed {
				pattern = "prefixed"
			}
			remark := strings.Join(r.Why, "; ")
			switch {
			case r.Until != "":
				remark += ". Only brokers before Kafka " + r.Until + " ask for it"
			case r.Without != "":
				remark += ". Without: " + r.Without
			}
			table.Row(string(purpose), strings.TrimSpace(string(r.Resource.Kind)+" "+r.Resource.Name), pattern, string(r.Operation), remark)
		}
	}
	return table.Write(out)
}
