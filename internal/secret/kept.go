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

	mu      sync.Mutex // guards all below, and has one load follow the other: a late one would bring old content back
	last    T
	loaded  bool
	trouble error
	report  Report
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
	say := k.note(err)
	last, loaded := k.last, k.loaded
	k.mu.Unlock()
	say()
	if !loaded {
		return last, err
	}
	return last, nil
}

// Report has to told what is wrong with the files, or nil: at once, and whenever that changes.
func (k *Kept[T]) Report(to Report) {
	k.mu.Lock()
	k.report = to
	trouble := k.trouble
	k.mu.Unlock()
	if to != nil {
		to(k.key, trouble)
	}
}

// Trouble is what was wrong with the files when they were read last.
func (k *Kept[T]) Trouble() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trouble
}

// note what is wrong now, and return what says so if it is news. The caller holds the lock, and says it without.
func (k *Kept[T]) note(err error) (say func()) {
	before := k.trouble
	k.trouble = err
	news := (before == nil) != (err == nil) || err != nil && before.Error() != err.Error()
	if to := k.report; news && to != nil {
		return func() { to(k.key, err) }
	}
	return func() {}
}
