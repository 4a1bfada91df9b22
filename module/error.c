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

const char *kw_error_name(CK_RV code)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (errors[i].code == code) {
            return errors[i].name;
        }
    }
    return "CKR_unknown";
}
