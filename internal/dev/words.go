package dev

import (
	"math/rand/v2"
	"strings"
)

// The words of the sample stream, all our own. A {slot} is filled by writer.fill.

type product struct {
	name    string
	aspects []string
}

var products = []product{
	{"kettle", []string{"lid", "handle", "spout", "heating plate", "cord", "switch"}},
	{"rain jacket", []string{"hood", "zip", "lining", "colour", "sizing", "left pocket"}},
	{"pair of headphones", []string{"bass", "battery life", "ear padding", "microphone", "headband", "noise cancelling"}},
	{"desk lamp", []string{"dimmer", "arm", "base", "light", "cable", "touch control"}},
	{"novel", []string{"plot", "middle part", "ending", "narrator", "dialogue", "print quality"}},
	{"linen dress", []string{"fabric", "cut", "waist", "colour", "hem", "fit around the shoulders"}},
	{"coffee grinder", []string{"motor", "burr", "hopper", "noise level", "grind setting", "cleaning brush"}},
	{"backpack", []string{"shoulder strap", "laptop sleeve", "stitching", "bottle holder", "chest buckle", "back padding"}},
	{"robot vacuum", []string{"app", "brush roll", "dust box", "docking station", "edge cleaning", "map"}},
	{"yoga mat", []string{"grip", "smell", "thickness", "carrying strap", "surface", "size"}},
	{"board game", []string{"rulebook", "card stock", "artwork", "playing time", "box insert", "balance"}},
	{"phone case", []string{"power button", "camera cutout", "raised edge", "feel in the hand", "magnet", "finish"}},
	{"garden hose", []string{"nozzle", "coupling", "length", "reel", "water pressure", "hose itself"}},
	{"mechanical keyboard", []string{"switch feel", "keycap set", "space bar", "layout", "firmware", "backlight"}},
	{"pair of running shoes", []string{"sole", "toe box", "lacing", "cushioning", "heel", "ventilation"}},
	{"face cream", []string{"scent", "texture", "pump", "ingredient list", "effect on dry skin", "jar"}},
	{"cast iron pan", []string{"coating", "handle", "weight", "rim", "heat distribution", "seasoning"}},
	{"baby carrier", []string{"clip", "hip belt", "head support", "fabric", "manual", "adjustment"}},
	{"bike light", []string{"mount", "brightness", "charging port", "rubber strap", "battery indicator", "beam"}},
	{"office chair", []string{"left armrest", "gas lift", "lumbar support", "frame", "seat cushion", "assembly"}},
}

var slots = map[string][]string{
	"very":   {"very", "really", "so", "surprisingly", "remarkably", "genuinely", "quite", "extremely"},
	"bit":    {"a bit", "slightly", "rather", "somewhat", "far too", "terribly"},
	"good":   {"good", "solid", "well made", "lovely", "excellent", "comfortable", "clever", "reliable", "pleasant", "first class", "beautifully done", "spot on"},
	"bad":    {"flimsy", "disappointing", "cheap", "badly made", "useless", "poor", "awkward", "unreliable", "a joke", "unusable", "crooked", "a nuisance"},
	"time":   {"two days", "a week", "{number} weeks", "{number} months", "half a year", "one single use", "the first weekend", "a long winter"},
	"person": {"my sister", "my husband", "my wife", "our son", "a colleague", "my mother", "the neighbour", "my flatmate", "our daughter", "my grandfather"},
	"place":  {"at home", "at work", "on the train", "in the garden", "in our tiny kitchen", "on holiday", "in the rain", "at the office"},
	"use":    {"every morning", "almost daily", "on weekends", "for hours at a time", "on every trip", "with the kids around", "more than I would like to admit"},
	"broke":  {"broke", "came off", "stopped working", "cracked", "fell apart", "gave up", "started to rattle", "went missing from the parcel"},
	"old":    {"my old one", "the one I had before", "the expensive one from the shop", "the previous version", "everything else I tried"},
	"staff":  {"support", "the seller", "customer service", "the shop"},
	"love":   {"love", "adore", "am thrilled with", "am so happy with", "cannot get enough of", "really like"},
	"hate":   {"regret buying", "cannot stand", "am fed up with", "am really let down by", "wish I had never ordered"},
}

var openings = []string{
	"bought this {product} for {person}",
	"I have been using this {product} for {time} now",
	"ordered it after {old} {broke}",
	"this is my second {product} of this kind",
	"was not sure what to expect from a {product} at this price",
	"got it as a present from {person}",
	"I use the {product} {use}, mostly {place}",
	"had my eye on this {product} for {time}",
	"I rarely write reviews",
	"after {time} I think I can say something about this {product}",
}

var praises = []string{
	"the {aspect} is {very} {good}",
	"I {love} the {aspect}",
	"{person} wants one too",
	"after {time} the {aspect} still looks like new",
	"the {aspect} is not just {good}, it is {good} and {good}",
	"I expected the {aspect} to be {bad}, and it is anything but",
	"works {very} well {place}",
	"nothing about the {aspect} is {bad}, and believe me I looked",
	"so much better than {old}",
	"it arrived two days early and was packed {very} carefully",
	"could not be happier with the {aspect}",
	"the {aspect} alone is worth the money",
	"I was worried about the {aspect}, needlessly so",
	"{person} noticed the {aspect} at once and asked where I got it",
	"{staff} answered within an hour and sent a spare part for free",
	"I use it {use} and it never let me down",
	"you can tell that somebody thought about the {aspect}",
	"no complaints about the {aspect} at all",
	"setting it up took five minutes, {person} did it without reading anything",
	"for this price the {aspect} is unbeatable",
}

var blames = []string{
	"the {aspect} is {very} {bad}",
	"the {aspect} {broke} after {time}",
	"I {hate} this {product}",
	"the {aspect} does not do what the description says",
	"{person} laughed when the {aspect} {broke}",
	"the {aspect} is not {good}, whatever the pictures show",
	"I wanted to like it, but the {aspect} is {bit} {bad}",
	"{staff} never answered, I wrote {number} times",
	"returning it was a nightmare and {staff} did not care",
	"for this money the {aspect} should not be {bad}",
	"nowhere near as {good} as {old}",
	"it smells of glue, even after {time} on the balcony",
	"out of the box the {aspect} was scratched",
	"do not believe the other reviews, the {aspect} is {bad}",
	"the {aspect} hurts after ten minutes {place}",
	"it worked {place} for exactly {time} and then the {aspect} {broke}",
	"I have never seen a {aspect} this {bad}",
	"half of the screws were missing and the {aspect} is {bad}",
	"if you think of using it {use}, forget it",
	"the second one they sent had the same problem with the {aspect}",
}

var both = []string{
	"the {aspect} is {good}, but the {aspect} is {bit} {bad}",
	"although the {aspect} is {bad}, I {love} the {aspect}",
	"I could live with the {aspect} if the {aspect} were not so {bad}",
	"the {aspect} is {bit} {bad}, which is a pity because the {aspect} is {very} {good}",
	"{place} it is {good}, {place} it is {bad}",
	"not as {good} as {old}, not as {bad} either",
	"{person} thinks it is {good}, I think it is {bad}",
	"the first {number} weeks were {good}, then the {aspect} {broke}, and {staff} replaced it without a word",
}

var neutral = []string{
	"it comes in a plain brown box",
	"I am {number} centimetres taller than {person}, if that helps anyone",
	"there are {number} sizes, mine is the middle one",
	"delivery took {number} days",
	"I paid full price, nobody gave me anything for this review",
	"I use it {use}, mostly {place}",
	"{person} has the same one in green",
	"the instructions are in {number} languages",
	"the {aspect} looks just like in the photo",
	"I also looked at {old}",
}

var verdictsGood = []string{
	"would buy this {product} again without thinking twice", "recommended to everyone", "absolutely worth it, five stars from {person} and me",
	"best {product} I ever owned", "happy is too weak a word for how I feel about this {product}", "do yourself a favour and get one",
	"not a single regret about this one", "we are very happy with it", "great {product}, thank you {staff}", "exactly what I was looking for",
}

var verdictsBad = []string{
	"would not buy this {product} again", "save your money and get something else", "it went straight back to the shop",
	"worst {product} I ever owned", "never again, not even as a present", "one star because zero is not possible",
	"I want my money back for this", "what a waste of time and money", "avoid this {product} at all cost", "I expected a lot more than this",
}

var verdictsMixed = []string{
	"not great, not terrible, just a {product}", "it does the job, more or less", "I am keeping it, but only just",
	"you get what you pay for here", "three stars seem fair to me", "maybe the next version gets it right",
	"fine {place}, no more than that", "I would think twice before ordering again",
}

var titlesGood = []string{"{good} and {good}", "I {love} it", "great {product}", "better than {old}", "worth every cent", "{very} happy", "my new favourite", "no complaints"}

var titlesBad = []string{"{bad}", "{broke} after {time}", "not {good} at all", "stay away", "sent it back", "what a letdown", "{very} {bad}", "money wasted"}

var titlesMixed = []string{"okay for the price", "{good} but {bad}", "mixed feelings", "could be better", "it is a {product}", "good idea, {bad} {aspect}"}

var (
	emojiGood = []string{"😍", "👍", "🥰", "🎉", "⭐", "❤️", "👌🏽", "😊"}
	emojiBad  = []string{"😡", "👎", "🙄", "💔", "😤", "🤦🏻‍♀️", "😞"}
)

// tongue is a language other than English, with whole sentences: a grammar of its own is not worth it here.
type tongue struct {
	code        string
	good, bad   []string
	intensifier string
}

var tongues = []tongue{
	{"de",
		[]string{"Die Verarbeitung ist wirklich tadellos.", "Meine Schwester will jetzt auch eins.", "Ich würde es jederzeit wieder kaufen.", "Kam schneller an als gedacht.", "Für den Preis unschlagbar!", "Nach drei Monaten immer noch wie neu."},
		[]string{"Nach zwei Wochen war es kaputt.", "Der Verkäufer meldet sich nicht.", "Leider überhaupt nicht wie auf dem Bild.", "Riecht auch nach Tagen noch nach Kleber.", "Das Geld kann man sich sparen.", "Nie wieder, so eine Enttäuschung."}, "Ganz ehrlich:"},
	{"fr",
		[]string{"La qualité est vraiment au rendez-vous.", "Je le recommande les yeux fermés.", "Ma fille l'adore déjà.", "Livré en avance et bien emballé.", "Très agréable à utiliser tous les jours.", "Un excellent rapport entre le prix et le plaisir."},
		[]string{"Cassé au bout d'une semaine.", "Rien à voir avec la photo.", "Le service ne répond jamais.", "Je regrette vraiment cet achat.", "Beaucoup trop fragile pour ce prix.", "Renvoyé le jour même."}, "Franchement,"},
	{"es",
		[]string{"Me encanta, lo uso todos los días.", "La calidad es mucho mejor de lo que esperaba.", "Llegó antes de tiempo y muy bien protegido.", "Mi madre ya quiere otro igual.", "Lo volvería a comprar sin dudar.", "¡Una maravilla por este precio!"},
		[]string{"Se rompió a los tres días.", "No se parece en nada a la foto.", "Nadie contesta a mis mensajes.", "Una pérdida de dinero.", "El material es malísimo.", "No lo compréis, de verdad."}, "La verdad,"},
	{"it",
		[]string{"Davvero ben fatto, complimenti.", "Lo uso ogni mattina e funziona benissimo.", "Arrivato in anticipo, imballo perfetto.", "Mio fratello ne vuole uno uguale.", "Lo ricomprerei subito.", "Bellissimo anche dal vivo."},
		[]string{"Dopo una settimana era già rotto.", "Molto diverso dalle immagini.", "L'assistenza non risponde.", "Soldi buttati, purtroppo.", "Materiale scadente e odore forte.", "Reso il giorno stesso."}, "Sinceramente,"},
	{"ja",
		[]string{"とても使いやすくて気に入っています。", "妹も欲しいと言っています。", "値段のわりに質がいいです。", "また買いたいと思います。"},
		[]string{"一週間で壊れました。", "写真と全然違います。", "返事が来ません。", "お金の無駄でした。"}, "正直に言うと、"},
}

// write makes about n words of the language.
func (t tongue) write(rng *rand.Rand, praise float64, n int) string {
	var b strings.Builder
	if rng.IntN(3) == 0 {
		b.WriteString(t.intensifier)
	}
	said := ""
	for words := 0; words < max(n, minWords) && words < 40; words += 6 {
		from := t.bad
		if rng.Float64() < praise {
			from = t.good
		}
		next := pick(rng, from)
		if next == said {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(next)
		said = next
	}
	return b.String()
}
