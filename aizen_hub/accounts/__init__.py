"""Every change as one function: commands, API, panel and policy files all call these, so that rules hold everywhere."""
