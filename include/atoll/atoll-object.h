#pragma once
#include <atoll/atoll-connection.h>

G_BEGIN_DECLS

#define ATOLL_TYPE_OBJECT (atoll_object_get_type())
G_DECLARE_DERIVABLE_TYPE(AtollObject, atoll_object, ATOLL, OBJECT, GObject)

/**
 * AtollObjectClass:
 * @parent_class: the parent
 */
struct _AtollObjectClass {
    GObjectClass parent_class;
    /*< private >*/
    const char *handle; /* the GVariant type of what names one on the wire */
    int name, key;      /* which children of the handle are its name and its UUID or key; -1: none */
};

AtollConnection *atoll_object_get_connection(AtollObject *self);
const char *atoll_object_get_name(AtollObject *self);
const char *atoll_object_get_key(AtollObject *self);
GVariant *atoll_object_get_handle(AtollObject *self);
AtollObject *atoll_object_new(GType type, AtollConnection *connection, GVariant *handle);

#define ATOLL_TYPE_DOMAIN (atoll_domain_get_type())
G_DECLARE_FINAL_TYPE(AtollDomain, atoll_domain, ATOLL, DOMAIN, AtollObject)
#define ATOLL_TYPE_NETWORK (atoll_network_get_type())
G_DECLARE_FINAL_TYPE(AtollNetwork, atoll_network, ATOLL, NETWORK, AtollObject)
#define ATOLL_TYPE_POOL (atoll_pool_get_type())
G_DECLARE_FINAL_TYPE(AtollPool, atoll_pool, ATOLL, POOL, AtollObject)
#define ATOLL_TYPE_VOLUME (atoll_volume_get_type())
G_DECLARE_FINAL_TYPE(AtollVolume, atoll_volume, ATOLL, VOLUME, AtollObject)
#define ATOLL_TYPE_SNAPSHOT (atoll_snapshot_get_type())
G_DECLARE_FINAL_TYPE(AtollSnapshot, atoll_snapshot, ATOLL, SNAPSHOT, AtollObject)
#define ATOLL_TYPE_SECRET (atoll_secret_get_type())
G_DECLARE_FINAL_TYPE(AtollSecret, atoll_secret, ATOLL, SECRET, AtollObject)
#define ATOLL_TYPE_NODE_DEVICE (atoll_node_device_get_type())
G_DECLARE_FINAL_TYPE(AtollNodeDevice, atoll_node_device, ATOLL, NODE_DEVICE, AtollObject)

int atoll_domain_get_id(AtollDomain *self);

G_END_DECLS
