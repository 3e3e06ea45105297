"""The page that a browser sees at ``/``: a conversation, and a dashboard for operators.

Its files are static and carry nothing secret; all they show comes over the same routes that any
client uses, with the key that the person at the browser types in. `assets` reads the files,
`settings` says what the server offers, `routes` serves both.
"""
