package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
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

func TestHealthSaysWhyAConfigurationHasNoAddress(t *testing.T) {
	path := configFile(t, "127.0.0.1:1")
	execute(t, "", "health", "--config", path).fails(t, `serving.http is "127.0.0.1:0"`, "--url")
}
