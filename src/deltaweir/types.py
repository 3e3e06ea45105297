"""The shapes of requests, chunks and replies, for annotations and for building one's own."""

from deltaweir.schema.builder import ReplyBuilder
from deltaweir.schema.chunk import (
    AnyChunk,
    Choice,
    ChoiceLogprobs,
    Chunk,
    CompletionTokensDetails,
    Delta,
    FunctionDelta,
    PartialUsage,
    PromptTokensDetails,
    TextChoice,
    TextChunk,
    TextLogprobs,
    TokenLogprob,
    ToolCallDelta,
    TopLogprob,
    Usage,
)
from deltaweir.schema.record import Record
from deltaweir.schema.reply import (
    AnyReply,
    FunctionCall,
    Message,
    Reply,
    ReplyChoice,
    TextReply,
    ToolCall,
)
from deltaweir.schema.request import AnyRequest, ChatRequest, StreamOptions, TextRequest

__all__ = [
    "AnyChunk",
    "AnyReply",
    "AnyRequest",
    "ChatRequest",
    "Choice",
    "ChoiceLogprobs",
    "Chunk",
    "CompletionTokensDetails",
    "Delta",
    "FunctionCall",
    "FunctionDelta",
    "Message",
    "PartialUsage",
    "PromptTokensDetails",
    "Record",
    "Reply",
    "ReplyBuilder",
    "ReplyChoice",
    "StreamOptions",
    "TextChoice",
    "TextChunk",
    "TextLogprobs",
    "TextReply",
    "TextRequest",
    "TokenLogprob",
    "ToolCall",
    "ToolCallDelta",
    "TopLogprob",
    "Usage",
]
