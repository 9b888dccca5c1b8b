//! What the operating system must provide: clock, memory, signals, limits.
