package cluster

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// grant is what a command of kafka-acls.sh grants.
type grant struct {
	principals, hosts   []string
	topics, groups, ids []string
	ofCluster           bool
	operations          []kmsg.ACLOperation
	pattern             kmsg.ACLResourcePatternType
}

// grants of the commands among the lines.
func grants(lines string) (all []grant, err error) {
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		if len(words) == 0 || !strings.HasSuffix(words[0], "kafka-acls.sh") {
			continue
		}
		g := grant{pattern: kmsg.ACLResourcePatternTypeLiteral}
		if err := g.read(words[1:]); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		all = append(all, g)
	}
	return all, nil
}

// read the flags of a command, as kafka-acls.sh does.
func (g *grant) read(words []string) error {
	for len(words) > 0 {
		flag := words[0]
		words = words[1:]
		switch flag {
		case "--add":
			continue
		case "--cluster":
			g.ofCluster = true
			continue
		}
		if len(words) == 0 {
			return fmt.Errorf("%s has no value", flag)
		}
		value := strings.Trim(words[0], `'"`)
		words = words[1:]
		lists := map[string]*[]string{"--allow-principal": &g.principals, "--allow-host": &g.hosts, "--topic": &g.topics, "--group": &g.groups,
			"--transactional-id": &g.ids, "--bootstrap-server": new([]string), "--command-config": new([]string)}
		switch list := lists[flag]; {
		case list != nil:
			*list = append(*list, value)
		case flag == "--operation":
			operation, err := kmsg.ParseACLOperation(value)
			if err != nil {
				return err
			}
			g.operations = append(g.operations, operation)
		case flag == "--resource-pattern-type":
			pattern, err := kmsg.ParseACLResourcePatternType(value)
			if err != nil {
				return err
			}
			g.pattern = pattern
		default:
			return fmt.Errorf("%s is not a flag that this test knows", flag)
		}
	}
	return nil
}

// acl that the cluster keeps.
func (g *grant) acl() *kadm.ACLBuilder {
	hosts := g.hosts
	if hosts == nil {
		hosts = []string{"*"}
	}
	return kadm.NewACLs().Allow(g.principals...).AllowHosts(hosts...).MaybeTopics(g.topics...).MaybeGroups(g.groups...).
		MaybeTransactionalIDs(g.ids...).MaybeClusters(g.ofCluster).Operations(g.operations...).ResourcePatternType(g.pattern)
}
