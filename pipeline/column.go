package pipeline

// Column is one that a model of tables reads.
type Column struct {
	Name string `json:"name"`
	// Text says that it has texts; otherwise it has numbers.
	Text bool `json:"text,omitempty"`
	// Whole says that its numbers are whole ones, of which none may be missing. Others are missing where they are not numbers (NaN).
	Whole bool `json:"whole,omitempty"`
}

func (c Column) String() string {
	switch {
	case c.Text:
		return c.Name + " (text)"
	case c.Whole:
		return c.Name + " (whole number)"
	}
	return c.Name
}

// CandidateID is what the id of a candidate is called, in the inputs of its columns and in a ranking.
const CandidateID = "item_id"
