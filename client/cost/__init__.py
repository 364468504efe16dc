"""The cost of designs for the same guest work: operations counted by the silicon, priced by published figures."""
