package config

// Nearest is the name that a mistyped one was probably meant to be, "" when none is near.
func Nearest(name string, names []string) string { return nearest(name, names) }
