//go:build synctests

package kafkatest

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/secret"
	"nearline/kafka"
)

// The users of a world that denies: one who may do everything, and one who may do what ACLs allow.
const (
	Super = "super"
	User  = "service"
)

// ACL allows User an operation on a resource.
type ACL struct {
	Kind      kmsg.ACLResourceType
	Name      string
	Prefixed  bool
	Operation kmsg.ACLOperation
}

// denying are the options of a cluster that denies what no ACL allows. A user's password is the user's name.
func denying() []kfake.Opt {
	return []kfake.Opt{kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", Super, Super), kfake.User("PLAIN", User, User)}
}

// LogIn to a world that denies, as one of its users.
func LogIn(user string) kafka.Config {
	return kafka.Config{SASL: &kafka.SASL{Mechanism: kafka.Plain, User: secret.Name{Text: secret.Plain(user)}, Password: secret.Plain(user)}}
}

// Allow User some operations.
func (w *World) Allow(acls ...ACL) {
	w.Helper()
	request := kmsg.NewPtrCreateACLsRequest()
	for _, a := range acls {
		one := kmsg.NewCreateACLsRequestCreation()
		one.ResourceType, one.ResourceName, one.ResourcePatternType = a.Kind, a.Name, a.pattern()
		one.Principal, one.Host, one.Operation, one.PermissionType = "User:"+User, "*", a.Operation, kmsg.ACLPermissionTypeAllow
		request.Creations = append(request.Creations, one)
	}
	response, err := request.RequestWith(context.Background(), w.client)
	if err != nil {
		w.Fatalf("allow %v: %v", acls, err)
	}
	for i := range response.Results {
		if err := kerr.ErrorForCode(response.Results[i].ErrorCode); err != nil {
			w.Fatalf("allow %v: %v", acls[i], err)
		}
	}
}

// Withdraw what was allowed.
func (w *World) Withdraw(acls ...ACL) {
	w.Helper()
	request := kmsg.NewPtrDeleteACLsRequest()
	principal := "User:" + User
	for _, a := range acls {
		one := kmsg.NewDeleteACLsRequestFilter()
		one.ResourceType, one.ResourceName, one.ResourcePatternType = a.Kind, &a.Name, a.pattern()
		one.Principal, one.Operation, one.PermissionType = &principal, a.Operation, kmsg.ACLPermissionTypeAllow
		request.Filters = append(request.Filters, one)
	}
	response, err := request.RequestWith(context.Background(), w.client)
	if err != nil {
		w.Fatalf("withdraw %v: %v", acls, err)
	}
	for i := range response.Results {
		if err := kerr.ErrorForCode(response.Results[i].ErrorCode); err != nil || len(response.Results[i].MatchingACLs) != 1 {
			w.Fatalf("withdraw %v: %d ACLs, %v", acls[i], len(response.Results[i].MatchingACLs), err)
		}
	}
}

func (a ACL) pattern() kmsg.ACLResourcePatternType {
	if a.Prefixed {
		return kmsg.ACLResourcePatternTypePrefixed
	}
	return kmsg.ACLResourcePatternTypeLiteral
}
