"""The only SQL of approval: cases, the tasks people have, the organisation and its rules."""
