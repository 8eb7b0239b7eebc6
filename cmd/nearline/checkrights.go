package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"nearline/internal/acls"
	"nearline/internal/config"
)

// checkRights asks the brokers what the service may do, and says which command grants what it may not.
func checkRights(ctx context.Context, c *config.Config, say sayer) {
	rights := acls.Of(c, acls.Service)
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	answer, err := acls.Ask(ctx, c.Kafka.Connection(), rights)
	if err != nil {
		say(err, "rights")
		return
	}
	by := acls.Grantor{Bootstrap: strings.Join(c.Kafka.Brokers, ","), Principal: cmp.Or(acls.Principal(c.Kafka.Config), "User:SERVICE"), Config: acls.CommandConfig(c.Kafka.Config)}
	if answer.ZooKeeper {
		answer.Missing = acls.ForZooKeeper(answer.Missing)
	}
	needed, commands := 0, 0
	for _, grant := range acls.Grants(answer.Missing) {
		switch {
		case grant.Needed(), grant.Until != "":
			needed++
			commands++
			say(errors.New(denied(answer, grant)+": "+grant.Command(by)), "%s", grant.Resource)
			continue
		case answer.Unseen[grant.Resource.Name]:
			continue // one line says that, and the others come once it is seen
		}
		commands++
		say(noteError(denied(answer, grant)+": "+strings.Join(grant.Without, "; ")+". To allow it: "+grant.Command(by)), "%s", grant.Resource)
	}
	if commands > 0 && by.Config != "" {
		say(noteError(strings.Join(acls.Properties(c.Kafka.Config), ", ")), "%s of these commands is a file with what kafka-acls.sh logs in with, as somebody who may change ACLs", by.Config)
	}
	switch {
	case len(answer.Untold) > 0:
		say(noteError("the brokers do not tell: nearline acls prints what has to be allowed where they deny what no ACL allows"), "rights of %d operations", len(answer.Untold))
	case needed > 0:
		say(noteError("nearline acls --config FILE --principal TYPE:NAME prints all commands at once, for whoever the service authenticates as"), "rights")
	default:
		say(nil, "rights: the brokers allow what the service does not work without")
	}
}

// denied says what is not allowed, and to what end it should be.
func denied(answer acls.Answer, g acls.Grant) string {
	operations := make([]string, len(g.Operations))
	for i, o := range g.Operations {
		operations[i] = string(o)
	}
	what := strings.Join(operations, " and ")
	why := strings.Join(g.Why, "; ")
	if g.Resource.Kind == acls.Topic && answer.Unseen[g.Resource.Name] {
		return fmt.Sprintf("the topic is missing, or the service may not see it (%s); it wants %s", why, what)
	}
	return fmt.Sprintf("the service may not %s (%s)", what, why)
}

// pasting makes of commands for a shell what may be pasted into one: what stands there for a value that is hidden, such as ${env:KAFKA}, would be a
// reference of the shell's own, and mostly to nothing. Each write is looked at by itself.
type pasting struct{ to io.Writer }

var (
	shellCommand = regexp.MustCompile(`kafka-[a-z]+\.sh .*`)
	hiddenServer = regexp.MustCompile(`--bootstrap-server \S*\$\{\S*`)
	hiddenValue  = regexp.MustCompile(`\$\{(?:env:([A-Za-z_][A-Za-z0-9_]*)[^}]*|file:(?:\$\{[^}]*\}|[^}])*)\}`)
)

func (p *pasting) Write(text []byte) (int, error) {
	if _, err := io.WriteString(p.to, shellCommand.ReplaceAllStringFunc(string(text), placeholders)); err != nil {
		return 0, err
	}
	return len(text), nil
}

// placeholders of a command have the names of the variables whose values are hidden.
func placeholders(command string) string {
	command = hiddenServer.ReplaceAllString(command, "--bootstrap-server BROKERS")
	return hiddenValue.ReplaceAllStringFunc(command, func(reference string) string {
		return cmp.Or(hiddenValue.FindStringSubmatch(reference)[1], "VALUE")
	})
}
