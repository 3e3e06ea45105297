"""The embedded model: llama.cpp in this process, by way of xllamacpp."""
