"""The engine: takes one patch through a live process.  Floors inside: LAYOUT in docs/explanation, held by a test."""
