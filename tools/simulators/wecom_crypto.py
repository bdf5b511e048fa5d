"""WeCom's side of the callback crypto: it signs and encrypts, the service checks and decrypts.

Written apart from `tools/wecom` on purpose: two implementations that agree prove more than one that agrees with itself.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

PAD_BITS = 256
"""WeCom pads to 32 bytes although AES works on 16."""


class CallbackCipher:
    """Encrypts and signs what WeCom sends to the callback URL."""

    def __init__(self, *, token: str, encoding_aes_key: str, receiveid: str) -> None:
        if not re.fullmatch(r"[0-9A-Za-z]{43}", encoding_aes_key):
            raise ValueError("encoding_aes_key: not an EncodingAESKey; it has 43 letters and digits")
        key = base64.b64decode(f"{encoding_aes_key}=")
        self._token = token
        self._receiveid = receiveid
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16]))

    def encrypt(self, message: str, *, receiveid: str | None = None, salt: bytes | None = None) -> str:
        """Encrypt `message`; `receiveid` and the 16 random bytes of `salt` can be forced for tests."""
        content = message.encode()
        owner = self._receiveid if receiveid is None else receiveid
        padder = PKCS7(PAD_BITS).padder()
        plain = (salt or os.urandom(16)) + len(content).to_bytes(4, "big") + content + owner.encode()
        padded = padder.update(plain) + padder.finalize()
        encryptor = self._cipher.encryptor()
        return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()

    def sign(self, *, timestamp: str, nonce: str, encrypted: str) -> str:
        """Return the `msg_signature` over one callback."""
        joined = "".join(sorted((self._token, timestamp, nonce, encrypted)))
        return hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()
