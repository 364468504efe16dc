"""The contract as a document: its rules and messages in the words of the schema, its states as the code has them, and
what each design keeps and breaks as runs show it."""
