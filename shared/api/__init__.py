"""What the inference API takes and answers, as types.

The service builds its answers from them, the OpenAPI document is made of them, and the client reads with them.
"""
