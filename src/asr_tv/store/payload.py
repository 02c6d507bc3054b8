"""Names of the files that stages leave in the store, and runs in their folders; known here alone."""

MODEL = "model"  # folder of a checkpoint as transformers loads it
VECTOR = "vector.safetensors"
MANIFEST = "manifest.jsonl"
RECORD = "record.json"  # what decided a result and what is known of it; when it is there, the result is complete
PLAN = "plan.jsonl"  # what an unfinished synthesis is about to speak
DROPPED = "dropped.json"  # what a stage left out, with reasons
NGRAM = "ngram.arpa"
INTERNAL_LM = "internal_lm.json"  # the encoder state of a recogniser's own language model
BIASING = "biasing"  # folder of a run or an export: terms and n-gram as other programs read them
SENTENCES = "sentences.txt"  # what a stage wrote, a sentence a line
TEXT_MODEL = "text_model.json"  # all that is kept of a domain's sentences
COVERAGE = "coverage.json"  # what written sentences cover of a domain's terms
