package columns

import (
	"nearline/features"
	"nearline/pipeline"
)

// latestField of results is when the latest event was that counts in what was looked up.
const latestField = "features_at"

// Fields of the lists, as examples.
func (c *Candidates) Fields() []pipeline.Field {
	if !c.tells {
		return nil
	}
	return []pipeline.Field{{Name: features.FreshnessField, Value: pipeline.StringValue(features.Fresh.String())}, {Name: latestField, Value: pipeline.StringValue("")}}
}

// said of a list in the result: how fresh its features are. Where a step before says so already, that is made to say the worst of both.
func (c *Candidates) said(row *pipeline.Row, list *candidateList) []pipeline.Field {
	if !c.tells {
		worsen(row.Features, list.freshness)
		return nil
	}
	at := pipeline.Field{Name: latestField}
	if !list.at.IsZero() {
		at.Value = pipeline.StringValue(list.at.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	}
	return []pipeline.Field{{Name: features.FreshnessField, Value: pipeline.StringValue(list.freshness.String())}, at}
}

// worsen what an earlier step says of how fresh features are, if these are worse.
func worsen(said []pipeline.Field, found features.Freshness) {
	for i := range said {
		if said[i].Name == features.FreshnessField && features.ParseFreshness(said[i].Value.Str) < found {
			said[i].Value = pipeline.StringValue(found.String())
		}
	}
}
