"""Addresses among the settings: what is refused, and that its words quote nothing of them."""

from importlib import import_module
from typing import Any

import pytest
import redis

from shared.addresses import check_host, check_redis, check_s3_endpoint, check_store, netloc


class TestCheckRedis:
    @pytest.mark.parametrize(
        ("address", "host", "port", "password", "database"),
        [
            ("redis://broker", "broker", 6379, None, 0),
            ("redis://:secret@broker:6380/3", "broker", 6380, "secret", 3),
            ("redis://user:secret@broker:6380", "broker", 6380, "secret", 0),
            ("redis://:se%2Fc%23r%3Fe%25t%3B@broker:6380/0", "broker", 6380, "se/c#r?e%t;", 0),
            ("redis://:p@ss:w@broker:6380/0", "broker", 6380, "p@ss:w", 0),
            ("redis://:secret@[::1]:6380/1", "::1", 6380, "secret", 1),
            ("rediss://:secret@127.0.0.1:6380/0?ssl_cert_reqs=required", "127.0.0.1", 6380, "secret", 0),
        ],
    )
    def test_a_broker_is_the_same_one_to_celery_and_to_redis_py(
        self, address: str, host: str, port: int, password: str | None, database: int
    ) -> None:
        assert check_redis(address) == address
        theirs = redis.Redis.from_url(address).connection_pool.connection_kwargs
        assert (theirs["host"], theirs.get("port", 6379), theirs.get("password"), theirs.get("db", 0)) == (
            host,
            port,
            password,
            database,
        )
        celerys: Any = import_module("kombu").Connection(address)
        assert (celerys.hostname, celerys.port or 6379, celerys.password) == (host, port, password)
        assert int((celerys.virtual_host or "0").strip("/") or 0) == database

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "broker:6379",
            "amqp://user:geheim@broker",
            "valkey://:geheim@broker",
            "REDIS://:geheim@broker",
            "redis+socket:///geheim",
            "redis://:geheim@",
            "redis:///0",
            "redis://:geheim@broker:0/0",
            "redis://:geheim@broker:65536/0",
            "redis://:geheim@broker:geheim/0",
            "redis://:gehe/im@broker:6379/0",
            "redis://:12/geheim@broker:6379/0",
            "redis://user:12/3@geheim:6379/0",
            "redis://:gehe#im@broker:6379/0",
            "redis://user:12#geheim@broker:6379/0",
            "redis://:gehe?im@broker:6379/0",
            "redis://user:12?geheim@broker:6379/0",
            "redis://:gehe;im@broker:6379/0",
            "redis://:gehe[im@broker:6379/0",
            "redis://:gehe]im@broker:6379/0",
            "redis://:gehe im@broker:6379/0",
            "redis://:geheim@broker:6379/0\n",
            "redis://:gehe\u00efm@broker:6379/0",
            "redis://:geheim@bro..ker:6379/0",
            f"redis://:geheim@{'x' * 64}:6379/0",
            "redis://:geheim@broker:6379/geheim",
            "redis://:geheim@broker:6379/0?geheim=1",
            "redis://:geheim@broker:6379/0?socket_timeout=5",
            "redis://:geheim@broker:6379/0?ssl_cert_reqs=required",
            "rediss://:geheim@broker:6379/0?ssl_cert_reqs=CERT_REQUIRED",
            "rediss://:geheim@broker:6379/0?ssl_cert_reqs=",
        ],
    )
    def test_what_is_no_broker_is_refused_without_a_word_of_it(self, address: str) -> None:
        with pytest.raises(ValueError, match=r"use redis://:PASSWORD@HOST:PORT/DB") as refused:
            check_redis(address)
        assert not any(part in str(refused.value) for part in ("geheim", "gehe", "im@", "broker"))
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__ or refused.value.__context__ is None


class TestCheckStore:
    @pytest.mark.parametrize("place", ["s3://bucket", "s3://bucket/a/prefix", "/a/directory", "relative", "~/store"])
    def test_a_store_is_taken(self, place: str) -> None:
        assert check_store(place) == place

    @pytest.mark.parametrize(
        "place", ["", " ", "s3://", "s3:///prefix", "s3://a:geheim@b/c", "gs://bucket", "s3://[x", "s3://B!"]
    )
    def test_what_is_no_store_is_refused(self, place: str) -> None:
        with pytest.raises(ValueError, match=r"give s3://BUCKET") as refused:
            check_store(place)
        assert "geheim" not in str(refused.value)


class TestCheckS3Endpoint:
    @pytest.mark.parametrize(
        "address", ["", "http://127.0.0.1:9000", "https://s3.example.org/path", "http://[::1]:9000"]
    )
    def test_an_s3_server_is_taken(self, address: str) -> None:
        assert check_s3_endpoint(address) == address

    @pytest.mark.parametrize(
        "address",
        [
            "s3.example.org",
            "ftp://host",
            "http://",
            "http://geheim:geheim@host",
            "http://host:0",
            "http://host/?geheim",
        ],
    )
    def test_what_is_no_s3_server_is_refused_without_a_word_of_it(self, address: str) -> None:
        with pytest.raises(ValueError, match=r"give http\(s\)://HOST") as refused:
            check_s3_endpoint(address)
        assert "geheim" not in str(refused.value)

    @pytest.mark.parametrize(
        ("host", "listens_on", "shown"),
        [("127.0.0.1", "127.0.0.1", "127.0.0.1:80"), ("::1", "::1", "[::1]:80"), ("[::]", "::", "[::]:80")],
    )
    def test_a_host_to_listen_on_may_be_of_ipv6(self, host: str, listens_on: str, shown: str) -> None:
        assert check_host(host) == listens_on
        assert netloc(listens_on, 80) == shown


class TestCheckHost:
    @pytest.mark.parametrize("host", ["", "http://127.0.0.1", "a b", "127.0.0.1/8"])
    def test_what_is_no_host_is_refused(self, host: str) -> None:
        with pytest.raises(ValueError, match="is not a valid host to listen on"):
            check_host(host)
