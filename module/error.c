#include "error.h"

static const struct {
    CK_RV code;
    const char *name;
    enum kw_class class;
} errors[] = {
#define KW_ERROR(code, class) {code, #code, KW_CLASS_##class},
#include "errors.def"
#undef KW_ERROR
};

enum kw_class kw_error_class(CK_RV code)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (errors[i].code == code) {
            return errors[i].class;
        }
    }
    return KW_CLASS_DEVICE;
}

bool kw_error_is_trouble(CK_RV rv)
{
    switch (kw_error_class(rv)) {
    case KW_CLASS_SESSION:
    case KW_CLASS_LOGIN:
    case KW_CLASS_DEVICE:
    case KW_CLASS_CAPACITY:
    case KW_CLASS_HANDLE:
        return true;
    default:
        return false;
    }
}

const char *kw_error_name(CK_RV code)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (errors[i].code == code) {
            return errors[i].name;
        }
    }
    return "CKR_unknown";
}

CK_RV kw_error_translate(CK_RV rv)
{
    switch (kw_error_class(rv)) {
    case KW_CLASS_HANDLE:
        return CKR_KEY_HANDLE_INVALID;
    case KW_CLASS_LOGIN:
        return CKR_USER_NOT_LOGGED_IN;
    case KW_CLASS_CAPACITY:
        return rv == CKR_HOST_MEMORY ? rv : CKR_DEVICE_MEMORY;
    case KW_CLASS_REFUSED:
        return rv == CKR_KEY_UNEXTRACTABLE ? rv : CKR_KEY_FUNCTION_NOT_PERMITTED;
    case KW_CLASS_SESSION:
    case KW_CLASS_DEVICE:
    case KW_CLASS_AMBIGUOUS:
        return CKR_DEVICE_ERROR;
    default:
        return rv;
    }
}
