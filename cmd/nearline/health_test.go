package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"nearline/internal/harness/certstest"
)

func TestHealthAsksTheServiceOfAConfiguration(t *testing.T) {
	address := freeAddress(t)
	path := configFile(t, startBroker(t, none))
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(config), "127.0.0.1:0", address, 1))

	execute(t, "", "health", "--config", path).fails(t, "healthz: no answer", address)

	p := start(t, program(t, "run", "--config", path), (*exec.Cmd).StderrPipe)
	p.until("the pipeline waits")
	for _, page := range []string{"healthz", "readyz", "/readyz"} {
		r := execute(t, "", "health", page, "--config", path)
		r.ok(t)
		wantAll(t, "standard output", r.out, strings.TrimPrefix(page, "/")+": ok")
	}
	execute(t, "", "health", "streamz", "--config", path).fails(t, "streamz: ", "topic reviews.raw does not exist: create it")
	execute(t, "", "health", "nowhere", "--url", "http://"+address).fails(t, "404 Not Found")
	p.interrupt()
	p.ends("nearline has stopped")
}

// Whoever asks over HTTP has not the configuration, and is told no more than what stands in it.
func TestPagesShowWhatIsWrittenInTheFile(t *testing.T) {
	address := freeAddress(t)
	path := configFile(t, startBroker(t, none))
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.NewReplacer("127.0.0.1:0", address, "topic: reviews.raw}", `topic: "${env:PLANTED_TOPIC}"}`).Replace(string(config)))
	c := program(t, "run", "--config", path)
	c.Env = append(c.Env, "PLANTED_TOPIC=topic-hunter2")
	p := start(t, c, (*exec.Cmd).StderrPipe)
	p.until("the pipeline waits")
	r := execute(t, "", "health", "streamz", "--url", "http://"+address)
	r.fails(t, "topic ${env:PLANTED_TOPIC} does not exist: create it")
	if all := r.out + r.err + r.failure.Error(); strings.Contains(all, "hunter2") {
		t.Errorf("got %s, which shows what the variable holds", all)
	}
	p.interrupt()
	p.ends("nearline has stopped")
}

func TestHealthSaysWhyAConfigurationHasNoAddress(t *testing.T) {
	path := configFile(t, "127.0.0.1:1")
	execute(t, "", "health", "--config", path).fails(t, `serving.http is "127.0.0.1:0"`, "--url")
}

func TestHealthAsksByTLSAsTheConfigurationHasIt(t *testing.T) {
	address, folder := freeAddress(t), t.TempDir()
	authority := certstest.New("authority")
	ca := certstest.Write(folder, "ca.crt", authority.PEM)
	cert, key := authority.Issue("nearline", certstest.Options{Hosts: []string{"nearline.example"}}).Write(folder, "server")
	path := configFile(t, startBroker(t, none))
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const token = "hunter2hunter2hunter2"
	write(t, path, strings.Replace(string(config), `http: "127.0.0.1:0"`, fmt.Sprintf("http: %q, tls: {cert: %q, key: %q, ca: %q, client_certificates: required}, tokens: [%s]", address, cert, key, ca, token), 1))
	p := start(t, program(t, "run", "--config", path), (*exec.Cmd).StderrPipe)
	p.until("the pipeline waits")
	execute(t, "", "health", "--config", path).ok(t)
	execute(t, "", "health", "readyz", "--config", path).ok(t)
	execute(t, "", "health", "--url", "https://"+address, "--ca", ca).fails(t, "certificate for 127.0.0.1")
	execute(t, "", "health", "--url", "http://"+address).fails(t, "400 Bad Request")
	authority.Issue("nearline", certstest.Options{Hosts: []string{"127.0.0.1"}}).Write(folder, "server")
	execute(t, "", "health", "--config", path).ok(t)
	execute(t, "", "health", "--url", "https://"+address, "--ca", ca).ok(t)
	execute(t, "", "health", "--url", "https://"+address).fails(t, "unknown authority", "want --ca FILE, with CN=authority in it")
	other := certstest.Write(folder, "other.crt", certstest.New("other").PEM)
	execute(t, "", "health", "--url", "https://"+address, "--ca", other).fails(t, "unknown authority", "want CN=authority in the file of --ca, "+other)
	execute(t, "", "health", "--url", "http://"+address, "--ca", ca).fails(t, "want a --url that begins with https://")

	// A service that is well stays so while files are being replaced, its own or others', and while its configuration is changed for the next start.
	certstest.Write(folder, "server.key", nil)
	r := execute(t, "", "health", "--config", path)
	r.ok(t)
	wantAll(t, "standard error", r.err, "serving.tls.key: there is no private key in it", "was not looked at")
	changing, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.NewReplacer("kafka: {", "kafka: {sasl: {mechanism: plain, user: a, password: \"${file:nowhere}\"}, ", token, `"${file:nowhere}"`).Replace(string(changing)))
	execute(t, "", "health", "--config", path).ok(t)
	write(t, path, strings.Replace(string(changing), "http: ", "htp: ", 1))
	execute(t, "", "health", "--config", path).fails(t, "says no address, since it is wrong: name it with --url", "did you mean http?")
	p.interrupt()
	p.ends("nearline has stopped")
}
