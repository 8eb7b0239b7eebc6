package secret

import "sync"

// Report is told once what keeps the files behind a key of the configuration from being used, and nil where nothing does or no longer. It is called
// by whoever reads, and must not wait.
type Report func(key string, err error)

// Kept is what files hold that are replaced while the process lives. Each Read looks at the files; there is no watching, since mounted volumes,
// links that are swapped and files written in place do not all tell of changes.
//
// Whoever replaces a file seldom does so in one step: it is empty for a moment, or a certificate is there before its key. So what cannot be
// used never takes the place of what could: the last good content is kept until the files are whole again.
//
// It is safe for concurrent use.
type Kept[T any] struct {
	key  string
	load func(last T) (T, error)

	mu      sync.Mutex // guards the four below, and has one load follow the other: a late one would bring old content back
	last    T
	loaded  bool
	trouble error
	report  Report

	telling sync.Mutex // held while report is told, so that what it hears last is what holds; taken before mu
	told    error
}

// NewKept is for the files behind a key of the configuration. Load reads them; it is given what it returned last, to be returned again where
// nothing has changed.
func NewKept[T any](key string, load func(last T) (T, error)) *Kept[T] {
	return &Kept[T]{key: key, load: load}
}

// Read the files. Where they cannot be used, it returns what they held last; an error says that they could never be used.
func (k *Kept[T]) Read() (T, error) {
	k.mu.Lock()
	value, err := k.load(k.last)
	if err == nil {
		k.last, k.loaded = value, true
	}
	news := differ(k.trouble, err)
	k.trouble = err
	last, loaded := k.last, k.loaded
	k.mu.Unlock()
	if news {
		k.tell(false)
	}
	if !loaded {
		return last, err
	}
	return last, nil
}

// Report has to told what is wrong with the files, or nil: at once, and whenever that changes.
func (k *Kept[T]) Report(to Report) {
	k.mu.Lock()
	k.report = to
	k.mu.Unlock()
	k.tell(true)
}

// Trouble is what was wrong with the files when they were read last.
func (k *Kept[T]) Trouble() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trouble
}

// tell what is wrong with the files now, if that is news. Whoever found another state meanwhile is waiting for its turn, and then has none.
func (k *Kept[T]) tell(always bool) {
	k.telling.Lock()
	defer k.telling.Unlock()
	k.mu.Lock()
	to, trouble := k.report, k.trouble
	k.mu.Unlock()
	news := always || differ(k.told, trouble)
	k.told = trouble
	if news && to != nil {
		to(k.key, trouble)
	}
}

// differ says that two troubles are not told in the same words.
func differ(a, b error) bool {
	return (a == nil) != (b == nil) || a != nil && a.Error() != b.Error()
}
