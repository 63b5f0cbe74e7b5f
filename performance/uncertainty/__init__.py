"""How sure, and is that so: members and bounds on periods that nothing was fitted on."""
