// Package spelling guesses which name was meant by one that there is not.
package spelling

import "fmt"

// Nearest is the name that a mistyped one was probably meant to be, "" when none is near.
func Nearest(typed string, names []string) string {
	const longest = 100 // what is longer is no slip of the hand, and would take long to compare
	best, distance := "", 1+len(typed)/3
	if len(typed) > longest {
		return ""
	}
	for _, name := range names {
		if len(name) > longest {
			continue
		}
		if d := edits(typed, name); d <= distance && (best == "" || d < distance) {
			best, distance = name, d
		}
	}
	return best
}

// Slip is the name from which a mistyped one differs by a single slip of the finger, "" when there is none.
func Slip(name string, names []string) string {
	meant := Nearest(name, names)
	if meant != "" && edits(name, meant) > 1 {
		return ""
	}
	return meant
}

// DidYouMean ends a message about a name that there is not: "; did you mean NAME?", or nothing where none of the names is near.
func DidYouMean(name string, names []string) string {
	if meant := Nearest(name, names); meant != "" && name != "" {
		return fmt.Sprintf("; did you mean %s?", meant)
	}
	return ""
}

// edits is the number of characters to insert, delete, replace or swap with their neighbour to make b of a (optimal string
// alignment distance).
func edits(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
