"""Types of the inference API's requests and responses.

The service builds its responses from them, the OpenAPI document is generated from them, and the client parses with
them.
"""
