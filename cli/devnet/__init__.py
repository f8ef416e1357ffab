"""Local clusters of real validator processes: plan, launch, control."""
