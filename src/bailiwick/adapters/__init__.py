"""Adapters: an agent built with a framework is governed without being rewritten.

    pydantic_ai    toolsets and a capability for Pydantic AI
    langchain      tools and a middleware for LangChain and LangGraph
    openai_agents  function tools for the OpenAI Agents SDK
    calls          what they share: names, keys, what a model is told, the wait for people

Each imports its framework, which is no dependency of this package, and is imported by its own name.
In each the framework's call becomes `Session.act` under a key of its own, a parked action becomes
the framework's own pause, and the resumed call asks again under the same key: what people said in
Bailiwick is the answer, whatever the framework was told.
"""
