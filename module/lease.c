#include "connection.h"
#include "log.h"

struct kw_rv kw_lease_check(struct kw_lease *lease, CK_RV rv, const char *name)
{
    kw_pulse_beat(&lease->backing->pulse);
    if (rv == CKR_OK) {
        return KW_OK;
    }
    lease->failure = rv;
    kw_log(KW_LOG_DEBUG, "token %s: %s answers %s (0x%lx)", lease->backing->config->name, name, kw_error_name(rv), rv);
    return KW_FAIL(kw_error_translate(rv), "the backing token refused a call");
}

struct kw_rv kw_lease_confirm(struct kw_lease *lease)
{
    CK_TOKEN_INFO token;
    CK_SESSION_INFO session;
    if (lease->call->C_GetTokenInfo(kw_lease_slot(lease), &token) != CKR_OK) {
        return kw_lease_check(lease, CKR_DEVICE_REMOVED, "C_GetTokenInfo");
    }
    CK_RV rv = lease->call->C_GetSessionInfo(lease->session, &session);
    if (rv == CKR_OK && session.state != CKS_RW_USER_FUNCTIONS && session.state != CKS_RO_USER_FUNCTIONS) {
        rv = CKR_USER_NOT_LOGGED_IN;
    }
    return kw_lease_check(lease, rv, "C_GetSessionInfo");
}

CK_OBJECT_HANDLE kw_lease_recall(const struct kw_lease *lease, const uint8_t key[8], bool *fresh)
{
    *fresh = false;
    struct kw_backing *b = lease->backing;
    pthread_mutex_lock(&b->lock);
    CK_OBJECT_HANDLE handle = b->epoch == lease->epoch ? kw_recall_get(&b->recall, key, fresh) : CK_INVALID_HANDLE;
    pthread_mutex_unlock(&b->lock);
    return handle;
}

void kw_lease_remember(const struct kw_lease *lease, const uint8_t key[8], CK_OBJECT_HANDLE handle)
{
    struct kw_backing *b = lease->backing;
    pthread_mutex_lock(&b->lock);
    if (b->epoch == lease->epoch) {
        kw_recall_set(&b->recall, key, handle);
    }
    pthread_mutex_unlock(&b->lock);
}

void kw_lease_see_profile(struct kw_lease *lease)
{
    struct kw_backing *b = lease->backing;
    pthread_mutex_lock(&b->lock);
    lease->profile = b->epoch == lease->epoch ? b->profile : lease->profile;
    pthread_mutex_unlock(&b->lock);
}

void kw_lease_keep_profile(const struct kw_lease *lease)
{
    struct kw_backing *b = lease->backing;
    pthread_mutex_lock(&b->lock);
    b->profile = b->epoch == lease->epoch ? lease->profile : b->profile;
    pthread_mutex_unlock(&b->lock);
}

CK_SLOT_ID kw_lease_slot(const struct kw_lease *lease)
{
    pthread_mutex_lock(&lease->backing->lock);
    CK_SLOT_ID slot = lease->backing->slot;
    pthread_mutex_unlock(&lease->backing->lock);
    return slot;
}
