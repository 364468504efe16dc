"""The contract as a document: its rules and messages from the schema, its states from the code, and from runs the rules
and invariants that each design keeps and breaks."""
