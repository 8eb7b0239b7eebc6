package batching

// lane holds the waiting rows of one class of one queue in two orders: by arrival, to choose the row that a batch is formed
// around, and by cost, to find the rows that join it. Both are linked lists through the rows themselves, so that a row
// comes, is taken or is withdrawn in constant time and without allocating, however many wait.
type lane struct {
	head, tail *row
	size       int
	indexed    bool // by cost as well; false where nobody asks
	costs      costs
	pages      []*[64]bucket // by cost ÷ 64
}

// bucket holds rows of equal cost, by arrival.
type bucket struct{ head, tail *row }

func (l *lane) push(r *row) {
	r.prev = l.tail
	if l.tail == nil {
		l.head = r
	} else {
		l.tail.next = r
	}
	l.tail = r
	l.size++
	if !l.indexed {
		return
	}
	b := l.bucket(r.cost)
	r.before = b.tail
	if b.tail == nil {
		b.head = r
		l.costs.add(r.cost)
	} else {
		b.tail.after = r
	}
	b.tail = r
}

func (l *lane) remove(r *row) {
	if r.prev == nil {
		l.head = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		l.tail = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.next, r.prev = nil, nil
	l.size--
	if !l.indexed {
		return
	}
	b := l.bucket(r.cost)
	if r.before == nil {
		b.head = r.after
	} else {
		r.before.after = r.after
	}
	if r.after == nil {
		b.tail = r.before
	} else {
		r.after.before = r.before
	}
	r.after, r.before = nil, nil
	if b.head == nil {
		l.costs.remove(r.cost)
	}
}

func (l *lane) bucket(cost int) *bucket {
	page := cost >> 6
	if grow := page + 1 - len(l.pages); grow > 0 {
		l.pages = append(l.pages, make([]*[64]bucket, grow)...)
	}
	if l.pages[page] == nil {
		l.pages[page] = new([64]bucket)
	}
	return &l.pages[page][cost&63]
}

// upTo returns the first row of the largest cost up to cost, or nil. The lane must be indexed.
func (l *lane) upTo(cost int) *row {
	if c, ok := l.costs.atMost(cost); ok {
		return l.bucket(c).head
	}
	return nil
}

// above returns the first row of the smallest cost above cost, or nil. The lane must be indexed.
func (l *lane) above(cost int) *row {
	if c, ok := l.costs.atLeast(cost + 1); ok {
		return l.bucket(c).head
	}
	return nil
}
