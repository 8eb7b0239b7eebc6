package tokenizer

// family is what a class of transformers does to a tokenizer.json, and which tokens it has where nobody says.
type family struct {
	bert         bool // rewrites a BertNormalizer
	four         bool // but in version 4 only
	keepsChinese bool // but not what it does to Chinese characters, in version 4
	byteLevel    bool // has the last word on a ByteLevel's add_prefix_space in version 5, too
	llama        bool // writes the post-processor anew by add_bos_token and add_eos_token, in version 4
	jieba        bool // cuts words with a program of its own
	marks        bool // has a mark before every text unless add_prefix_space is false, in version 5
	marksIfSaid  bool // the same, where it is said
	ends         bool // puts its cls_token and sep_token around a text, in version 5

	five   map[string]bool // settings that version 5 alone obeys, with what they are where nobody says
	tokens map[string]string
	masks  bool // the mask takes the spaces before it
}

var (
	bertTokens = map[string]string{
		"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
	}
	robertaTokens = map[string]string{
		"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>",
		"mask_token": "<mask>",
	}
	mpnetTokens = map[string]string{
		"bos_token": "<s>", "eos_token": "</s>", "unk_token": "[UNK]", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>",
		"mask_token": "<mask>",
	}
	debertaTokens = map[string]string{
		"bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
		"mask_token": "[MASK]",
	}
	albertTokens = map[string]string{
		"bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "<unk>", "sep_token": "[SEP]", "pad_token": "<pad>", "cls_token": "[CLS]",
		"mask_token": "[MASK]",
	}
	gptTokens = map[string]string{"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}

	bertFamily    = &family{bert: true, ends: true, tokens: bertTokens}
	bertOfFour    = &family{bert: true, four: true, tokens: bertTokens}
	bertButHan    = &family{bert: true, keepsChinese: true, ends: true, tokens: bertTokens}
	robertaFamily = &family{byteLevel: true, ends: true, tokens: robertaTokens, masks: true}
	gptFamily     = &family{byteLevel: true, tokens: gptTokens}
)

// families by class, without Fast.
var families = map[string]*family{
	"BertTokenizer": bertFamily, "DistilBertTokenizer": bertFamily, "ElectraTokenizer": bertFamily, "FunnelTokenizer": {bert: true},
	"LayoutLMTokenizer": bertFamily, "LxmertTokenizer": bertFamily, "MobileBertTokenizer": bertFamily, "SqueezeBertTokenizer": bertFamily,
	"SplinterTokenizer": bertButHan, "LayoutLMv2Tokenizer": bertButHan,
	"MPNetTokenizer": {bert: true, keepsChinese: true, ends: true, tokens: mpnetTokens, masks: true},

	"ConvBertTokenizer": bertOfFour, "DPRContextEncoderTokenizer": bertOfFour, "DPRQuestionEncoderTokenizer": bertOfFour,
	"DPRReaderTokenizer": bertOfFour, "RealmTokenizer": bertOfFour, "RoFormerTokenizer": {jieba: true},

	"RobertaTokenizer": robertaFamily, "BartTokenizer": robertaFamily, "LongformerTokenizer": robertaFamily, "LEDTokenizer": robertaFamily,
	"MvpTokenizer": robertaFamily, "BlenderbotTokenizer": {byteLevel: true}, "LayoutLMv3Tokenizer": {byteLevel: true},
	"GPT2Tokenizer": gptFamily, "CodeGenTokenizer": gptFamily, "WhisperTokenizer": {byteLevel: true}, "Qwen2Tokenizer": {byteLevel: true},
	"DebertaTokenizer": {byteLevel: true, ends: true, tokens: debertaTokens},

	"XLMRobertaTokenizer": {marks: true, ends: true, tokens: robertaTokens, masks: true}, "CamembertTokenizer": {marks: true},
	"BarthezTokenizer": {marks: true}, "BigBirdTokenizer": {marks: true}, "XGLMTokenizer": {marks: true}, "T5Tokenizer": {marks: true},
	"AlbertTokenizer":    {marks: true, ends: true, five: lowerWithoutAccents, tokens: albertTokens, masks: true},
	"DebertaV2Tokenizer": {marks: true, ends: true, five: map[string]bool{"do_lower_case": false, "split_by_punct": false}, tokens: debertaTokens},
	"FNetTokenizer":      {marks: true, five: lowerWithoutAccents}, "RemBertTokenizer": {marks: true, five: map[string]bool{"do_lower_case": false, "keep_accents": true}},
	"XLNetTokenizer": {marks: true, five: map[string]bool{"do_lower_case": false, "keep_accents": false}},

	"LlamaTokenizer": {llama: true, marksIfSaid: true}, "CodeLlamaTokenizer": {llama: true, marksIfSaid: true}, "GemmaTokenizer": {llama: true},
	"GPTNeoXTokenizer": {llama: true, byteLevel: true}, "CohereTokenizer": {llama: true, byteLevel: true},
}

var lowerWithoutAccents = map[string]bool{"do_lower_case": true, "keep_accents": false}

// modelClasses are the classes of model types, for folders that name none.
var modelClasses = map[string]string{
	"albert": "AlbertTokenizer", "bart": "BartTokenizer", "bert": "BertTokenizer", "camembert": "CamembertTokenizer",
	"convbert": "BertTokenizer", "deberta": "DebertaTokenizer", "deberta-v2": "DebertaV2Tokenizer", "distilbert": "DistilBertTokenizer",
	"electra": "ElectraTokenizer", "ernie": "BertTokenizer", "fnet": "FNetTokenizer", "funnel": "FunnelTokenizer", "gpt2": "GPT2Tokenizer",
	"gpt_neo": "GPT2Tokenizer", "gptj": "GPT2Tokenizer", "layoutlm": "LayoutLMTokenizer", "longformer": "LongformerTokenizer",
	"lxmert": "LxmertTokenizer", "megatron-bert": "BertTokenizer", "mobilebert": "MobileBertTokenizer", "mpnet": "MPNetTokenizer",
	"nezha": "ConvBertTokenizer", "opt": "GPT2Tokenizer", "rembert": "RemBertTokenizer", "roberta": "RobertaTokenizer",
	"roformer": "RoFormerTokenizer", "splinter": "SplinterTokenizer", "squeezebert": "SqueezeBertTokenizer", "t5": "T5Tokenizer",
	"visual_bert": "BertTokenizer", "xlm-roberta": "XLMRobertaTokenizer", "xlnet": "XLNetTokenizer",
}
