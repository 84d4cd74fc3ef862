"""Localization scores under named protocols; knows boxes and maps, not the networks behind them.

The package shares its name with a builtin. Write `from eval.manifest import load_split`, never
`import eval`, which would hide the builtin in that file.
"""
