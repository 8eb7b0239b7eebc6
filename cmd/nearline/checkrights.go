package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	by := acls.Grantor{Bootstrap: strings.Join(c.Kafka.Brokers, ","), Principal: cmp.Or(acls.Principal(c.Kafka.Config), "User:SERVICE")}
	if answer.ZooKeeper {
		answer.Missing = acls.ForZooKeeper(answer.Missing)
	}
	needed := 0
	for _, grant := range acls.Grants(answer.Missing) {
		switch {
		case grant.Needed(), grant.Until != "":
			needed++
			say(errors.New(denied(answer, grant)+": "+grant.Command(by)), "%s", grant.Resource)
			continue
		case answer.Unseen[grant.Resource.Name]:
			continue // one line says that, and the others come once it is seen
		}
		say(noteError(denied(answer, grant)+": "+strings.Join(grant.Without, "; ")+". To allow it: "+grant.Command(by)), "%s", grant.Resource)
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
