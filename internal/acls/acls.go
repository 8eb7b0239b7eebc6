// Package acls knows what brokers have to allow, so that a configuration works where they deny what no ACL allows: every right with its reason, the
// kafka-acls.sh commands that grant it, and, by asking the brokers, which ones whoever asks does not have.
//
// What is denied in the middle of the work is the consumers' matter: a member says what it may not do, and is made anew until it may.
package acls

import (
	"fmt"
	"slices"
	"strings"

	"nearline/kafka"
)

// Operation that brokers allow, by the name that kafka-acls.sh has for it.
type Operation string

// The operations. Read, Write and Delete include Describe of the same resource; AlterConfigs includes DescribeConfigs.
const (
	Read            Operation = "Read"
	Write           Operation = "Write"
	Create          Operation = "Create"
	Delete          Operation = "Delete"
	Describe        Operation = "Describe"
	DescribeConfigs Operation = "DescribeConfigs"
	AlterConfigs    Operation = "AlterConfigs"
	IdempotentWrite Operation = "IdempotentWrite"
)

// Kind of a resource, by the flag that kafka-acls.sh has for it.
type Kind string

// The kinds of resources.
const (
	Topic           Kind = "topic"
	Group           Kind = "group"
	TransactionalID Kind = "transactional-id"
	Cluster         Kind = "cluster"
)

// Resource that rights are of.
type Resource struct {
	Kind Kind
	// Name is "" for the cluster.
	Name string
	// Prefixed stands for all resources of the kind whose names begin with Name.
	Prefixed bool
}

func (r Resource) String() string {
	switch {
	case r.Kind == Cluster:
		return "the cluster"
	case r.Prefixed:
		return fmt.Sprintf("%ss %s…", r.noun(), r.Name)
	default:
		return r.noun() + " " + r.Name
	}
}

func (r Resource) noun() string { return strings.ReplaceAll(string(r.Kind), "-id", " id") }

// Right to one operation on one resource.
type Right struct {
	Resource  Resource
	Operation Operation
	// Why it is needed: a reason for each who needs it.
	Why []string
	// Without says what is lost without the right. "" is a right without which the purpose is not served at all.
	Without string
	// Until is the first version of Kafka that no longer asks for the right; "" is none.
	Until string
}

// Needed says that nothing works without it.
func (r Right) Needed() bool { return r.Without == "" && r.Until == "" }

// rights are collected in the order of their resources, each once.
type rights struct{ all []Right }

// add rights to operations on a resource. One that is there has one more reason; it is needed if anybody needs it.
func (r *rights) add(one Right, operations ...Operation) {
	for _, operation := range operations {
		one.Operation = operation
		at := slices.IndexFunc(r.all, func(o Right) bool { return o.Resource == one.Resource && o.Operation == operation })
		if at < 0 {
			at = len(r.all)
			r.all = append(r.all, Right{Resource: one.Resource, Operation: operation, Without: one.Without, Until: one.Until})
		}
		there := &r.all[at]
		if one.Needed() {
			there.Without, there.Until = "", ""
		}
		for _, why := range one.Why {
			if !slices.Contains(there.Why, why) {
				there.Why = append(there.Why, why)
			}
		}
	}
}

// ForZooKeeper are rights as brokers take them that keep ACLs in ZooKeeper, as all did before KRaft. There a name is a path, and none may have a slash. So
// what is left is the prefix before the slash, which also covers groups whose names begin alike.
func ForZooKeeper(all []Right) []Right {
	var r rights
	for _, one := range all {
		if before, _, found := strings.Cut(one.Resource.Name, "/"); found {
			one.Resource.Name, one.Resource.Prefixed = before, true
		}
		r.add(one, one.Operation)
	}
	return r.all
}

// Grant is what one command grants: operations on one resource.
type Grant struct {
	Resource   Resource
	Operations []Operation
	Why        []string
	// Without says what is lost without each of the operations that are not needed.
	Without []string
	Until   string
}

// Needed says that nothing works without it.
func (g Grant) Needed() bool { return len(g.Without) == 0 && g.Until == "" }

// Grants of rights: those that are needed apart from the others, one for each resource, in the order of the rights.
func Grants(rights []Right) []Grant {
	var grants []Grant
	for _, r := range rights {
		at := slices.IndexFunc(grants, func(g Grant) bool {
			return g.Resource == r.Resource && g.Until == r.Until && (len(g.Without) == 0) == (r.Without == "")
		})
		if at < 0 {
			at = len(grants)
			grants = append(grants, Grant{Resource: r.Resource, Until: r.Until})
		}
		g := &grants[at]
		g.Operations = append(g.Operations, r.Operation)
		for _, why := range r.Why {
			if !slices.Contains(g.Why, why) {
				g.Why = append(g.Why, why)
			}
		}
		if r.Without != "" && !slices.Contains(g.Without, r.Without) {
			g.Without = append(g.Without, r.Without)
		}
	}
	return grants
}

// Grantor is how kafka-acls.sh reaches the cluster, and whom it grants rights.
type Grantor struct {
	// Bootstrap are brokers, HOST:PORT, with commas.
	Bootstrap string
	// Principal is TYPE:NAME, such as User:nearline.
	Principal string
	// Config is the file that kafka-acls.sh authenticates with (--command-config); "" is none.
	Config string
}

// Command that grants rights, for a shell.
func (g Grant) Command(by Grantor) string {
	words := []string{"kafka-acls.sh", "--bootstrap-server", shell(by.Bootstrap)}
	if by.Config != "" {
		words = append(words, "--command-config", shell(by.Config))
	}
	words = append(words, "--add", "--allow-principal", shell(by.Principal))
	for _, operation := range g.Operations {
		words = append(words, "--operation", string(operation))
	}
	switch {
	case g.Resource.Kind == Cluster:
		words = append(words, "--cluster")
	case strings.HasPrefix(g.Resource.Name, "-"): // it would pass for a flag
		words = append(words, "--"+string(g.Resource.Kind)+"="+shell(g.Resource.Name))
	default:
		words = append(words, "--"+string(g.Resource.Kind), shell(g.Resource.Name))
	}
	if g.Resource.Prefixed {
		words = append(words, "--resource-pattern-type", "prefixed")
	}
	return strings.Join(words, " ")
}

// shell quotes a word for a shell.
func shell(word string) string {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("._-/:,=@%+", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Principal that brokers know a login by; "" where that is theirs to say: of a certificate, of a token, or of an AWS role.
func Principal(c kafka.Config) string {
	if c.SASL == nil {
		return ""
	}
	switch c.SASL.Mechanism {
	case kafka.Plain, kafka.Scram256, kafka.Scram512:
		return "User:" + c.SASL.User.Value()
	default:
		return ""
	}
}

// CheckPrincipal says what is wrong with the name of a principal.
func CheckPrincipal(name string) error {
	kind, rest, found := strings.Cut(name, ":")
	if !found || kind == "" || rest == "" || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%q is no principal: want TYPE:NAME as the brokers know it, such as User:nearline, or User:CN=nearline,O=Shop for a certificate", name)
	}
	return nil
}
