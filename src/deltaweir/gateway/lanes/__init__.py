"""Between uvicorn and the routes: what comes as bodies, what goes as answers, byte by byte."""
