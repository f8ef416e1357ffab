"""Who parses requests: llhttp in C, never the parser in Python that takes over in silence."""

from __future__ import annotations

from aiohttp import http_parser


def test_requests_are_parsed_in_c() -> None:
    """aiohttp falls back without a word where its extension is missing; smuggling begins between
    two parsers that differ."""
    assert http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
    assert http_parser.HttpRequestParser.__module__ == "aiohttp._http_parser"
