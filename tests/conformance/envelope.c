#include "envelope.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const EVP_CIPHER *cipher_of(size_t kek_len, bool padded)
{
    switch (kek_len) {
    case 16:
        return padded ? EVP_aes_128_wrap_pad() : EVP_aes_128_wrap();
    case 24:
        return padded ? EVP_aes_192_wrap_pad() : EVP_aes_192_wrap();
    default:
        return padded ? EVP_aes_256_wrap_pad() : EVP_aes_256_wrap();
    }
}

size_t envelope_wrap(const uint8_t *kek, size_t kek_len, bool padded, const uint8_t *in, size_t len,
                     uint8_t *out)
{
    int n = 0;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    if (c != NULL) {
        EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    }
    if (c == NULL || EVP_EncryptInit_ex(c, cipher_of(kek_len, padded), NULL, kek, NULL) != 1 ||
        EVP_EncryptUpdate(c, out, &n, in, (int)len) != 1) {
        (void)fprintf(stderr, "envelope: OpenSSL does not wrap %zu bytes\n", len);
        abort();
    }
    EVP_CIPHER_CTX_free(c);
    return (size_t)n;
}

bool envelope_open(const uint8_t *kek, size_t kek_len, const uint8_t *blob, size_t len, uint8_t *out)
{
    int n = 0;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    if (c != NULL) {
        EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    }
    if (c == NULL || EVP_DecryptInit_ex(c, cipher_of(kek_len, false), NULL, kek, NULL) != 1) {
        (void)fprintf(stderr, "envelope: OpenSSL opens nothing\n");
        abort();
    }
    bool good = EVP_DecryptUpdate(c, out, &n, blob, (int)len) == 1 && (size_t)n == len - 8;
    EVP_CIPHER_CTX_free(c);
    return good;
}

size_t envelope_from_hex(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        const char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return n;
}
