/* object.c - AtollObject: something that a connection knows by a handle; the classes of it. */
#include "manage/api/api_inside.h"

typedef struct AtollObjectPrivate {
    AtollConnection *connection;
    GVariant *handle;
    char *name, *key;
} AtollObjectPrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE(AtollObject, atoll_object, G_TYPE_OBJECT)

enum { PROP_CONNECTION = 1, PROP_NAME, PROP_KEY };

static AtollObjectPrivate *private_of(AtollObject *self) { return atoll_object_get_instance_private(self); }

static void atoll_object_get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    const AtollObjectPrivate *p = private_of(ATOLL_OBJECT(object));
    if (id == PROP_CONNECTION)
        g_value_set_object(value, p->connection);
    else
        g_value_set_string(value, id == PROP_NAME ? p->name : p->key);
}

static void atoll_object_finalize(GObject *object)
{
    AtollObjectPrivate *p = private_of(ATOLL_OBJECT(object));
    g_clear_object(&p->connection);
    g_clear_pointer(&p->handle, g_variant_unref);
    g_free(p->name);
    g_free(p->key);
    G_OBJECT_CLASS(atoll_object_parent_class)->finalize(object);
}

static void atoll_object_class_init(AtollObjectClass *class)
{
    GObjectClass *o = G_OBJECT_CLASS(class);
    o->get_property = atoll_object_get_property;
    o->finalize = atoll_object_finalize;
    g_object_class_install_property(o, PROP_CONNECTION, g_param_spec_object("connection", NULL, NULL, ATOLL_TYPE_CONNECTION, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
    g_object_class_install_property(o, PROP_NAME, g_param_spec_string("name", NULL, NULL, NULL, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
    g_object_class_install_property(o, PROP_KEY, g_param_spec_string("key", NULL, NULL, NULL, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
}

static void atoll_object_init(AtollObject *self) { }

static char *text_at(GVariant *handle, int child)
{
    if (child < 0)
        return NULL;
    g_autoptr(GVariant) v = g_variant_is_of_type(handle, G_VARIANT_TYPE_STRING) ? g_variant_ref(handle) : g_variant_get_child_value(handle, child);
    return g_variant_dup_string(v, NULL);
}

/**
 * atoll_object_new: (skip)
 * @type: the class
 * @connection: whose it is
 * @handle: what names it on the wire
 *
 * Returns: (transfer full): the object
 */
AtollObject *atoll_object_new(GType type, AtollConnection *connection, GVariant *handle)
{
    AtollObject *self = g_object_new(type, NULL);
    const AtollObjectClass *class = ATOLL_OBJECT_GET_CLASS(self);
    AtollObjectPrivate *p = private_of(self);
    g_return_val_if_fail(g_variant_is_of_type(handle, G_VARIANT_TYPE(class->handle)), self);
    p->connection = g_object_ref(connection);
    p->handle = g_variant_ref(handle);
    p->name = text_at(handle, class->name);
    p->key = text_at(handle, class->key);
    return self;
}

/**
 * atoll_object_get_connection:
 * @self: the object
 *
 * Returns: (transfer none): whose it is
 */
AtollConnection *atoll_object_get_connection(AtollObject *self) { return private_of(self)->connection; }

/**
 * atoll_object_get_name:
 * @self: the object
 *
 * Returns: (nullable): its name
 */
const char *atoll_object_get_name(AtollObject *self) { return private_of(self)->name; }

/**
 * atoll_object_get_key:
 * @self: the object
 *
 * Returns: (nullable): its UUID; of a volume its key
 */
const char *atoll_object_get_key(AtollObject *self) { return private_of(self)->key; }

/**
 * atoll_object_get_handle:
 * @self: the object
 *
 * Returns: (transfer none): what names it in atoll_connection_call()
 */
GVariant *atoll_object_get_handle(AtollObject *self) { return private_of(self)->handle; }

/* The classes differ in their handles only. */
#define CLASS(Name, prefix, type, name_at, key_at)                             \
    struct _##Name {                                                           \
        AtollObject parent_instance;                                           \
    };                                                                         \
    G_DEFINE_FINAL_TYPE(Name, prefix, ATOLL_TYPE_OBJECT)                       \
    static void prefix##_class_init(Name##Class *class)                        \
    {                                                                          \
        AtollObjectClass *o = ATOLL_OBJECT_CLASS(class);                       \
        o->handle = type;                                                      \
        o->name = name_at;                                                     \
        o->key = key_at;                                                       \
    }                                                                          \
    static void prefix##_init(Name *self) { }

CLASS(AtollDomain, atoll_domain, "(ssi)", 0, 1)
CLASS(AtollNetwork, atoll_network, "(ss)", 0, 1)
CLASS(AtollPool, atoll_pool, "(ss)", 0, 1)
CLASS(AtollVolume, atoll_volume, "(sss)", 1, 2)
CLASS(AtollSnapshot, atoll_snapshot, "(s(ssi))", 0, -1)
CLASS(AtollSecret, atoll_secret, "(sis)", 2, 0)
CLASS(AtollNodeDevice, atoll_node_device, "s", 0, -1)

/**
 * atoll_domain_get_id:
 * @self: the domain
 *
 * Returns: its number when it was looked up; -1: it did not run
 */
int atoll_domain_get_id(AtollDomain *self)
{
    int id;
    g_variant_get_child(atoll_object_get_handle(ATOLL_OBJECT(self)), 2, "i", &id);
    return id;
}
