#include "outsider.h"

#include <stdio.h>
#include <string.h>

#include "sheet.h"

static int said(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        (void)fprintf(stderr, "attack: outside: %s answers 0x%lx\n", what, rv);
        return 1;
    }
    return 0;
}

static void usage(struct sheet *t, unsigned wrong)
{
    sheet_bool(t, CKA_WRAP, (wrong & PLANT_RETIRED) == 0);
    sheet_bool(t, CKA_UNWRAP, true);
    sheet_bool(t, CKA_ENCRYPT, (wrong & PLANT_ENCRYPT) != 0);
    sheet_bool(t, CKA_DECRYPT, (wrong & PLANT_DECRYPT) != 0);
    sheet_bool(t, CKA_SIGN, (wrong & PLANT_SIGN) != 0);
    sheet_bool(t, CKA_VERIFY, (wrong & PLANT_VERIFY) != 0);
    sheet_bool(t, CKA_DERIVE, (wrong & PLANT_DERIVE) != 0);
    sheet_bool(t, CKA_PRIVATE, (wrong & PLANT_NOT_PRIVATE) == 0);
    sheet_bool(t, CKA_SENSITIVE, (wrong & PLANT_NOT_SENSITIVE) == 0);
    sheet_bool(t, CKA_EXTRACTABLE, (wrong & PLANT_EXTRACTABLE) != 0);
}

int outsider_plant(const struct outside_token *token, void *order)
{
    struct outsider_plant copy; /* an order lies where it may be misaligned */
    const struct outsider_plant *p = memcpy(&copy, order, sizeof copy);
    CK_OBJECT_HANDLE key = 0;
    CK_MECHANISM generate = {CKM_AES_KEY_GEN, NULL, 0};
    CK_MECHANISM_TYPE kw = CKM_AES_KEY_WRAP;
    struct sheet t = {0};
    struct sheet inner = {0};
    sheet_secret(&t, CKK_AES, true);
    usage(&t, p->wrong);
    sheet_bytes(&t, CKA_LABEL, p->label, strlen(p->label));
    sheet_bytes(&t, CKA_ID, p->id, p->id_len);
    if ((p->wrong & PLANT_KW_ONLY) != 0) {
        sheet_bytes(&t, CKA_ALLOWED_MECHANISMS, &kw, sizeof kw);
    }
    if ((p->wrong & PLANT_UNWRAP_TEMPLATE) != 0) {
        sheet_bool(&inner, CKA_SENSITIVE, true);
        sheet_bool(&inner, CKA_EXTRACTABLE, false);
        sheet_bytes(&t, CKA_UNWRAP_TEMPLATE, inner.items, inner.count * sizeof inner.items[0]);
    }
    if (p->known) {
        sheet_bytes(&t, CKA_VALUE, p->value, p->len);
        return said(token->calls->C_CreateObject(token->session, t.items, t.count, &key), "planting a key");
    }
    sheet_ulong(&t, CKA_VALUE_LEN, p->len);
    return said(token->calls->C_GenerateKey(token->session, &generate, t.items, t.count, &key),
                "planting a key");
}

static int find_one(const struct outside_token *token, const char *label, CK_OBJECT_HANDLE *key)
{
    struct sheet t = {0};
    CK_ULONG count = 0;
    sheet_ulong(&t, CKA_CLASS, CKO_SECRET_KEY);
    sheet_bytes(&t, CKA_LABEL, label, strlen(label));
    CK_RV rv = token->calls->C_FindObjectsInit(token->session, t.items, t.count);
    if (rv == CKR_OK) {
        rv = token->calls->C_FindObjects(token->session, key, 1, &count);
        (void)token->calls->C_FindObjectsFinal(token->session);
    }
    return rv == CKR_OK && count == 1 ? 0 : said(CKR_OBJECT_HANDLE_INVALID, "looking for a key");
}

int outsider_key(const struct outside_token *token, void *order)
{
    struct outsider_key copy;
    struct outsider_key *k = memcpy(&copy, order, sizeof copy);
    CK_OBJECT_HANDLE key = 0;
    CK_BBOOL value = k->value ? CK_TRUE : CK_FALSE;
    CK_ATTRIBUTE id = {CKA_ID, k->id, sizeof k->id};
    CK_ATTRIBUTE set = {k->type, &value, sizeof value};
    if (find_one(token, k->label, &key) != 0) {
        return 1;
    }
    CK_RV rv = token->calls->C_GetAttributeValue(token->session, key, &id, 1);
    k->id_len = rv == CKR_OK ? id.ulValueLen : 0;
    if (rv == CKR_OK && k->type != 0) {
        rv = token->calls->C_SetAttributeValue(token->session, key, &set, 1);
    }
    if (rv == CKR_OK && k->destroy) {
        rv = token->calls->C_DestroyObject(token->session, key);
    }
    memcpy(order, k, sizeof *k);
    return said(rv, "changing a key");
}

int outsider_rsa(const struct outside_token *token, void *order)
{
    struct outsider_rsa *o = order; /* bytes only: never misaligned */
    CK_MECHANISM generate = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_OBJECT_HANDLE public_key = 0;
    CK_OBJECT_HANDLE private_key = 0;
    static const uint8_t exponent[] = {1, 0, 1};
    struct sheet public_half = {0};
    struct sheet private_half = {0};
    sheet_bool(&public_half, CKA_TOKEN, true);
    sheet_bool(&public_half, CKA_WRAP, true);
    sheet_ulong(&public_half, CKA_MODULUS_BITS, 2048);
    sheet_bytes(&public_half, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
    sheet_bytes(&public_half, CKA_LABEL, o->label, strlen(o->label));
    sheet_bool(&private_half, CKA_TOKEN, true);
    sheet_bool(&private_half, CKA_PRIVATE, true);
    sheet_bool(&private_half, CKA_SENSITIVE, true);
    sheet_bool(&private_half, CKA_UNWRAP, true);
    sheet_bool(&private_half, CKA_EXTRACTABLE, false);
    sheet_bool(&private_half, CKA_DECRYPT, false);
    sheet_bool(&private_half, CKA_SIGN, false);
    sheet_bool(&private_half, CKA_DERIVE, false);
    sheet_bytes(&private_half, CKA_LABEL, o->label, strlen(o->label));
    CK_RV rv =
        token->calls->C_GenerateKeyPair(token->session, &generate, public_half.items, public_half.count,
                                        private_half.items, private_half.count, &public_key, &private_key);
    CK_ATTRIBUTE modulus = {CKA_MODULUS, o->modulus, sizeof o->modulus};
    if (rv == CKR_OK) {
        rv = token->calls->C_GetAttributeValue(token->session, public_key, &modulus, 1);
    }
    return said(rv, "making an RSA pair");
}
