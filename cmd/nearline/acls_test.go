package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/acls"
	"nearline/internal/config"
)

func TestAclsPrintsCommandsThatAShellRuns(t *testing.T) {
	path := configFile(t, "k1:9092")
	const grant = "kafka-acls.sh --bootstrap-server k1:9092 --add --allow-principal User:nearline --operation "
	r := execute(t, "", "acls", "--config", path, "--principal", "User:nearline")
	r.ok(t)
	wantAll(t, "standard output", r.out,
		"# nearline run does not work without these:\n# pipeline reviews reads its input\n"+grant+"Read --topic reviews.raw\n",
		"\n"+grant+"Read --group nearline-reviews\n",
		"\n"+grant+"Write --transactional-id nearline-reviews/ --resource-pattern-type prefixed\n",
		"\n"+grant+"Write --topic reviews.scored\n", "\n"+grant+"Write --topic reviews.raw.dlq\n",
		"\n"+grant+"Read --operation Write --topic nearline.attempts.nearline-reviews\n",
		"\n"+grant+"Create --topic nearline.progress.nearline-reviews\n", "\n# Without: somebody else has to make the topic",
		"\n"+grant+"DescribeConfigs --topic reviews.scored\n",
		"\n# As commands by --for dlq:\n", "\n# "+grant+"Write --transactional-id nearline-dlq-replay/reviews.raw.dlq\n",
		"\n# As commands by --for topics:\n", "\n# "+grant+"Describe --operation Create --topic reviews.raw\n",
		"\n# As commands by --for torture:\n",
		"\n# As commands by --for check:\n", "\n# "+grant+"Describe --operation DescribeConfigs --topic reviews.raw\n", "DescribeConfigs --topic __transaction_state\n",
	)
	// What is no comment is the service's, which writes to no input.
	for line := range strings.Lines(r.out) {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		if !strings.HasPrefix(line, "kafka-acls.sh ") || strings.Contains(line, "Write --topic reviews.raw\n") || strings.Contains(line, "torture") {
			t.Errorf("got the command %s, want the service's alone", line)
		}
	}

	least := execute(t, "", "acls", "--config", path, "--principal", "User:nearline", "--least", "--bootstrap-server", "admin:9093", "--command-config", "a b.properties")
	least.ok(t)
	wantAll(t, "standard output", least.out, "kafka-acls.sh --bootstrap-server admin:9093 --command-config 'a b.properties' --add")
	if strings.Contains(least.out, "\nkafka-acls.sh --bootstrap-server admin:9093 --command-config 'a b.properties' --add --allow-principal User:nearline --operation DescribeConfigs") {
		t.Errorf("got\n%s\nwant nothing that the service works without", least.out)
	}

	replay := execute(t, "", "acls", "--config", path, "--principal", "User:ann", "--for", "dlq,export")
	replay.ok(t)
	wantAll(t, "standard output", replay.out, "\nkafka-acls.sh --bootstrap-server k1:9092 --add --allow-principal User:ann --operation Write --operation Read --topic reviews.raw\n")

	old := execute(t, "", "acls", "--config", path, "--principal", "User:nearline", "--zookeeper")
	old.ok(t)
	wantAll(t, "standard output", old.out, "\n"+grant+"Write --transactional-id nearline-reviews --resource-pattern-type prefixed\n",
		"\n# "+grant+"Write --transactional-id nearline-dlq-replay --resource-pattern-type prefixed\n")

	table := execute(t, "", "acls", "--config", path, "--principal", "User:nearline", "--table")
	table.ok(t)
	wantAll(t, "standard output", table.out, "FOR ", "run  ", "topic reviews.raw ", "transactional-id nearline-reviews/ ", "prefixed", "dlq ", "torture ")
}

func TestAclsSaysWhatItWants(t *testing.T) {
	path := configFile(t, "k1:9092")
	execute(t, "", "acls", "--config", path, "--principal", "nearline").fails(t, "--principal", `"nearline" is no principal`, "want TYPE:NAME", "User:nearline")
	execute(t, "", "acls", "--config", path, "--principal", "User:a", "--for", "everything").fails(t, "--for", `"everything" is no purpose`, "want run, check, topics, dlq, export or torture")
	execute(t, "", "acls", "--config", path).fails(t, "--principal", "want TYPE:NAME")
}

func TestAclsAreOfTheUserWhoLogsIn(t *testing.T) {
	path := configFile(t, "k1:9092")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(text), "replica: test", "replica: test, sasl: {mechanism: scram-sha-512, user: shop, password: word}", 1))
	r := execute(t, "", "acls", "--config", path)
	r.ok(t)
	wantAll(t, "standard output", r.out, " --allow-principal User:shop --operation Read --topic reviews.raw\n")
}

// denying is a broker with topics that denies what nobody is allowed. Who does not authenticate is User:ANONYMOUS there.
func denying(t *testing.T, rights ...kfake.ACL) string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableACLs(), kfake.User("PLAIN", "ANONYMOUS", "nobody's", rights...),
		kfake.SeedTopics(1, "reviews.raw", "reviews.scored", "reviews.raw.dlq", "nearline.attempts.nearline-reviews", "nearline.progress.nearline-reviews"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

func allowed(kind kmsg.ACLResourceType, name string, operation kmsg.ACLOperation) kfake.ACL {
	pattern := kmsg.ACLResourcePatternTypeLiteral
	if strings.HasSuffix(name, "/") {
		pattern = kmsg.ACLResourcePatternTypePrefixed
	}
	return kfake.ACL{Resource: kind, Name: name, Pattern: pattern, Operation: operation, Allow: true}
}

func TestCheckNamesEachRightThatIsMissingAndWhatGrantsIt(t *testing.T) {
	const topic, read, write = kmsg.ACLResourceTypeTopic, kmsg.ACLOperationRead, kmsg.ACLOperationWrite
	rights := []struct {
		kfake.ACL
		says, grant string
	}{
		{allowed(topic, "reviews.raw", read), "topic reviews.raw: the topic is missing, or the service may not see it (pipeline reviews reads its input); it wants Read", "Read --topic reviews.raw"},
		{allowed(topic, "reviews.scored", write), "topic reviews.scored: the topic is missing, or the service may not see it (pipeline reviews publishes its results); it wants Write", "Write --topic reviews.scored"},
		{allowed(topic, "reviews.raw.dlq", write), "topic reviews.raw.dlq: the topic is missing, or the service may not see it", "Write --topic reviews.raw.dlq"},
		{allowed(kmsg.ACLResourceTypeGroup, "nearline-reviews", read), "group nearline-reviews: the service may not Read (", "Read --group nearline-reviews"},
		{allowed(kmsg.ACLResourceTypeTransactionalId, "nearline-reviews/", write), "transactional ids nearline-reviews/…: the service may not Write (", "Write --transactional-id nearline-reviews/ --resource-pattern-type prefixed"},
		{allowed(topic, "nearline.attempts.nearline-reviews", read), "topic nearline.attempts.nearline-reviews: the service may not Read (", "Read --topic nearline.attempts.nearline-reviews"},
		{allowed(topic, "nearline.attempts.nearline-reviews", write), "topic nearline.attempts.nearline-reviews: the service may not Write (", "Write --topic nearline.attempts.nearline-reviews"},
		{allowed(topic, "nearline.progress.nearline-reviews", read), "topic nearline.progress.nearline-reviews: the service may not Read (", "Read --topic nearline.progress.nearline-reviews"},
		{allowed(topic, "nearline.progress.nearline-reviews", write), "topic nearline.progress.nearline-reviews: the service may not Write (", "Write --topic nearline.progress.nearline-reviews"},
	}
	for without := -1; without < len(rights); without++ {
		name := "none"
		if without >= 0 {
			name = rights[without].grant
		}
		t.Run(name, func(t *testing.T) {
			var granted []kfake.ACL
			for i, right := range rights {
				if i != without {
					granted = append(granted, right.ACL)
				}
			}
			broker := denying(t, granted...)
			r := execute(t, "", "check", "--config", configFile(t, broker))
			// What the service works without is worth a note, of a topic that it sees.
			if name != "Write --topic reviews.scored" {
				wantAll(t, "standard output", r.out, "note   topic reviews.scored: the service may not DescribeConfigs (", "--operation DescribeConfigs --topic reviews.scored\n")
			}
			if strings.Contains(r.out, "Create") {
				t.Errorf("got\n%s\nwant nothing of rights to make topics that are there", r.out)
			}
			if without < 0 {
				r.ok(t)
				wantAll(t, "standard output", r.out, "ok     rights: the brokers allow what the service does not work without\n")
				return
			}
			r.fails(t)
			wantAll(t, "standard output", r.out, "WRONG  "+rights[without].says, "1 thing is wrong", "note   rights: nearline acls --config FILE",
				fmt.Sprintf(": kafka-acls.sh --bootstrap-server %s --add --allow-principal User:SERVICE --operation %s\n", broker, rights[without].grant))
		})
	}
}

// A producer without transactions is let in by brokers since Kafka 2.8 where it may write to any topic. Earlier ones want a right to the cluster.
func TestCheckAsksForTheRightOfOldBrokersOnlyWhereTheyDenyIt(t *testing.T) {
	const topic, writes = kmsg.ACLResourceTypeTopic, kmsg.ACLOperationWrite
	check := func(rights ...kfake.ACL) result {
		path := configFile(t, denying(t, rights...))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, strings.Replace(string(text), "  - name: reviews\n", "  - name: reviews\n    delivery: at_least_once\n", 1))
		r := execute(t, "", "check", "--config", path)
		r.fails(t) // other rights are missing
		return r
	}
	for name, r := range map[string]result{"one that may write": check(allowed(topic, "reviews.scored", writes)), "one that may write nothing": check()} {
		if strings.Contains(r.out, "IdempotentWrite") {
			t.Errorf("%s: got\n%s\nwant nothing of the right to the cluster", name, r.out)
		}
	}
}

// clerk is somebody other than the service, on a broker that denies what nobody is allowed.
type clerk struct {
	*testing.T
	file  string // the clerk's configuration
	admin *config.Config
}

func newClerk(t *testing.T) *clerk {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "admin", "admin"), kfake.User("PLAIN", "ann", "ann"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	as := func(user string) string {
		path := shopFile(t, cluster.ListenAddrs()[0])
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, strings.Replace(string(text), "replica: test", "replica: test, sasl: {mechanism: plain, user: "+user+", password: "+user+"}", 1))
		return path
	}
	admin, _, err := config.Load(as("admin"))
	if err != nil {
		t.Fatal(err)
	}
	return &clerk{t, as("ann"), admin}
}

// mayOnly do what a purpose asks for.
func (c *clerk) mayOnly(purpose acls.Purpose) {
	c.Helper()
	client, err := c.admin.Kafka.Connection().Client()
	if err != nil {
		c.Fatal(err)
	}
	defer client.Close()
	drop := kmsg.NewPtrDeleteACLsRequest()
	all := kmsg.NewDeleteACLsRequestFilter()
	all.ResourceType, all.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	all.Operation, all.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	drop.Filters = append(drop.Filters, all)
	if _, err := drop.RequestWith(c.Context(), client); err != nil {
		c.Fatal(err)
	}
	grant := kmsg.NewPtrCreateACLsRequest()
	for _, r := range acls.Of(c.admin, purpose) {
		one := kmsg.NewCreateACLsRequestCreation()
		one.ResourceName, one.ResourcePatternType, one.PermissionType = r.Resource.Name, kmsg.ACLResourcePatternTypeLiteral, kmsg.ACLPermissionTypeAllow
		one.Principal, one.Host = "User:ann", "*"
		if one.ResourceType, err = kmsg.ParseACLResourceType(strings.ReplaceAll(string(r.Resource.Kind), "-", "_")); err != nil {
			c.Fatal(err)
		}
		if one.Operation, err = kmsg.ParseACLOperation(string(r.Operation)); err != nil {
			c.Fatal(err)
		}
		grant.Creations = append(grant.Creations, one)
	}
	granted, err := grant.RequestWith(c.Context(), client)
	if err != nil || len(granted.Results) != len(grant.Creations) || granted.Results[0].ErrorCode != 0 {
		c.Fatalf("grant rights: %v, %+v", err, granted)
	}
}

func TestOtherCommandsWorkWithTheRightsOfTheirPurpose(t *testing.T) {
	c := newClerk(t)
	c.mayOnly(acls.Topics)
	execute(t, "", "topics", "--config", c.file, "--create", "--partitions", "1").ok(t)
	buryBy(t, c.admin.Kafka.Connection(), 3)

	c.mayOnly(acls.Letters)
	list := execute(t, "", "dlq", "list", "--config", c.file, "--pipeline", "reviews", "--left")
	list.ok(t)
	wantAll(t, "the list", list.out, "not JSON at byte 2")
	execute(t, "", "dlq", "dismiss", "--config", c.file, "--pipeline", "reviews", "--cause", "byte 1", "--yes").ok(t)
	replay := execute(t, "", "dlq", "replay", "--config", c.file, "--pipeline", "reviews", "--yes")
	replay.ok(t)
	wantAll(t, "standard output", replay.out, "2 originals were put back into reviews.raw\n")
	execute(t, "", "topics", "--config", c.file, "--create").fails(t, "cannot be used") // which is another purpose's

	client, err := c.admin.Kafka.Connection().Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	update := &kgo.Record{Topic: itemUpdates, Key: []byte("i1"), Value: []byte("no update")}
	if err := client.ProduceSync(t.Context(), update).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c.mayOnly(acls.Export)
	export := execute(t, `{"item_id":"i1","created_at":"2026-01-31T12:00:00Z"}`+"\n", "features", "export", "--config", c.file, "--rows", "-", "--view", "item")
	export.ok(t)
	wantAll(t, "standard output", export.out, `"i1"`)
}
