"""The only SQL of posting: `chart`, `cases`, `journal`, `intents`, `decisions` across them."""
