package features

import (
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearline/pipeline"
)

// appendUpdate writes an update as JSON: {"at":…,"of":{"rating":5,"sentiment=positive":0.93}}, without what is Null. Where the event says that it is of
// a later time, that is there as "said"; and as "alone": true that its record had no time to compare with.
func (v *View) appendUpdate(dst []byte, u *Update) []byte {
	dst = append(dst, `{"at":`...)
	dst = strconv.AppendInt(dst, u.At, 10)
	if u.Said > u.At {
		dst = append(dst, `,"said":`...)
		dst = strconv.AppendInt(dst, u.Said, 10)
		if u.Alone {
			dst = append(dst, `,"alone":true`...)
		}
	}
	dst = append(dst, `,"of":{`...)
	first := true
	for i := range v.operands {
		value := u.Operands[i]
		if value.Kind == pipeline.Null {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst, _ = jsontext.AppendQuote(dst, v.operands[i].name())
		dst = append(dst, ':')
		switch value.Kind {
		case pipeline.String:
			dst, _ = jsontext.AppendQuote(dst, value.Str)
		case pipeline.Float:
			dst = jsontext.AppendFloat(dst, value.Float, 64)
		default:
			text, _ := value.Text()
			dst = append(dst, text...)
		}
	}
	return append(dst, "}}"...)
}

// wireUpdate is an update as it stands in its topic.
type wireUpdate struct {
	At    int64                     `json:"at"`
	Said  int64                     `json:"said"`
	Alone bool                      `json:"alone"`
	Of    map[string]jsontext.Value `json:"of"`
}

// ParseUpdate reads the value of an update's record. Whoever has the record asks DecodeUpdate, which looks at its key, too.
func (v *View) ParseUpdate(value []byte) (*Update, error) {
	var w wireUpdate
	if err := json.Unmarshal(value, &w); err != nil {
		return nil, err
	}
	if w.Of == nil {
		return nil, fmt.Errorf("of is missing: this is no update of a view")
	}
	if !inTime(w.At) {
		return nil, fmt.Errorf("at is %d: want milliseconds since 1970, of a year from 1 to 9999", w.At)
	}
	u := &Update{At: w.At, Said: w.Said, Alone: w.Alone, Operands: make([]pipeline.Value, len(v.operands))}
	for i, o := range v.operands {
		raw, ok := w.Of[o.name()]
		if !ok {
			continue
		}
		switch raw.Kind() {
		case jsontext.KindString:
			text, err := jsontext.AppendUnquote(nil, raw)
			if err != nil {
				return nil, err
			}
			u.Operands[i] = pipeline.StringValue(string(text))
		case jsontext.KindNumber:
			u.Operands[i] = pipeline.Value{Kind: pipeline.Number, Str: string(raw)}
		case jsontext.KindTrue, jsontext.KindFalse:
			u.Operands[i] = pipeline.Value{Kind: pipeline.Bool, Bool: raw.Kind() == jsontext.KindTrue}
		default:
			return nil, fmt.Errorf("of.%s is neither a text nor a number", o.name())
		}
	}
	return u, nil
}

// The years from 1 to 9999, in milliseconds since 1970: what RFC 3339 can say.
const (
	firstMilli = -62_135_596_800_000
	lastMilli  = 253_402_300_799_999
)

func inTime(milli int64) bool { return milli >= firstMilli && milli <= lastMilli }
