package consumers

// As makes a process of another name of it: tests have many in one.
func (a *Attempts) As(by string) { a.by = by }
