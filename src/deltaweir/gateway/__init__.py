"""The gateway: models over HTTP, for every OpenAI client."""
