"""Grounding: is an answer supported by the context it was given?"""
