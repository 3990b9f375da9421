/* firewall.c - a packet's way through the chains of nftables, by libnftables-json(5). */
#include "tools/cli/firewall.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum Known { NO, PERHAPS, YES } Known;
typedef enum Verdict { GO_ON, ACCEPT, DROP, RETURN } Verdict;
enum { JUMPS_MAX = 32 };

typedef struct Walk {
    JsonArray *objects;
    const Packet *packet;
    GPtrArray *drops;
    JsonObject *base;
    bool doubtful; /* a rule before may have let it through */
    unsigned depth;
} Walk;

void drop_free(Drop *d)
{
    g_free(d->family);
    g_free(d->table);
    g_free(d->chain);
    g_free(d);
}

static const char *text(JsonObject *o, const char *name)
{
    JsonNode *n = json_object_get_member(o, name);
    return n && JSON_NODE_HOLDS_VALUE(n) && json_node_get_value_type(n) == G_TYPE_STRING ? json_node_get_string(n) : "";
}

static JsonObject *member(JsonObject *o, const char *name)
{
    JsonNode *n = o ? json_object_get_member(o, name) : NULL;
    return n && JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL;
}

static JsonObject *object_at(JsonArray *a, guint i, const char *name)
{
    JsonNode *n = json_array_get_element(a, i);
    return JSON_NODE_HOLDS_OBJECT(n) ? member(json_node_get_object(n), name) : NULL;
}

/* ---- what the packet has where a rule looks; NULL: not known */
static char *number(int n) { return n < 0 ? NULL : g_strdup_printf("%d", n); }

static char *meta_of(const Packet *p, const char *key)
{
    if (!strcmp(key, "iifname") || !strcmp(key, "iif"))
        return g_strdup(p->in);
    if (!strcmp(key, "oifname") || !strcmp(key, "oif"))
        return g_strdup(p->out);
    if (!strcmp(key, "l4proto"))
        return g_strdup(p->protocol);
    return g_strdup(!strcmp(key, "nfproto") ? "ipv4" : !strcmp(key, "protocol") ? "ip" : NULL);
}

/* *ret_none: the packet has no such thing, so the rule is not for it. */
static char *payload_of(const Packet *p, const char *protocol, const char *field, bool *ret_none)
{
    bool port = !strcmp(field, "dport") || !strcmp(field, "sport");
    *ret_none = !strcmp(protocol, "ip6") || (port && strcmp(protocol, "th") && strcmp(protocol, p->protocol)) || !strcmp(protocol, "icmp");
    if (port)
        return number(*field == 'd' ? p->to_port : p->from_port);
    if (strcmp(protocol, "ip"))
        return NULL;
    return g_strdup(!strcmp(field, "saddr") ? p->from : !strcmp(field, "daddr") ? p->to : !strcmp(field, "protocol") ? p->protocol : NULL);
}

static char *value_of(const Packet *p, JsonNode *left, bool *ret_none)
{
    JsonObject *o = JSON_NODE_HOLDS_OBJECT(left) ? json_node_get_object(left) : NULL, *meta = member(o, "meta"), *payload = member(o, "payload"), *ct = member(o, "ct");
    *ret_none = false;
    if (meta)
        return meta_of(p, text(meta, "key"));
    if (payload)
        return payload_of(p, text(payload, "protocol"), text(payload, "field"), ret_none);
    if (ct && !strcmp(text(ct, "key"), "state"))
        return g_strdup(p->state);
    return ct && !strcmp(text(ct, "key"), "status") ? g_strdup(p->forwarded ? "dnat" : "assured") : NULL;
}

/* ---- comparing */
static Known equal(JsonNode *right, const char *value);

static Known any_of(JsonArray *a, const char *value)
{
    Known best = NO;
    for (guint i = 0; i < json_array_get_length(a); i++)
        best = MAX(best, equal(json_array_get_element(a, i), value));
    return best;
}

static Known in_prefix(JsonObject *o, const char *value)
{
    struct in_addr net, address;
    gint64 bits = json_object_get_int_member_with_default(o, "len", 32);
    if (inet_pton(AF_INET, text(o, "addr"), &net) != 1 || inet_pton(AF_INET, value, &address) != 1)
        return NO;
    return bits <= 0 || !((ntohl(net.s_addr) ^ ntohl(address.s_addr)) >> (32 - MIN(bits, 32))) ? YES : NO;
}

static Known in_range(JsonArray *a, const char *value)
{
    struct in_addr low, high, at;
    if (json_array_get_length(a) != 2)
        return PERHAPS;
    JsonNode *from = json_array_get_element(a, 0), *to = json_array_get_element(a, 1);
    if (json_node_get_value_type(from) == G_TYPE_INT64)
        return atoll(value) >= json_node_get_int(from) && atoll(value) <= json_node_get_int(to) ? YES : NO;
    if (inet_pton(AF_INET, json_node_get_string(from), &low) != 1 || inet_pton(AF_INET, json_node_get_string(to), &high) != 1 || inet_pton(AF_INET, value, &at) != 1)
        return NO;
    return ntohl(at.s_addr) >= ntohl(low.s_addr) && ntohl(at.s_addr) <= ntohl(high.s_addr) ? YES : NO;
}

static Known equal_text(const char *right, const char *value)
{
    if (*right == '@') /* a set with a name */
        return PERHAPS;
    size_t n = strlen(right);
    bool same = n && right[n - 1] == '*' ? !strncmp(right, value, n - 1) : !strcmp(right, value);
    return same ? YES : NO;
}

static Known equal(JsonNode *right, const char *value)
{
    JsonObject *o = JSON_NODE_HOLDS_OBJECT(right) ? json_node_get_object(right) : NULL;
    if (JSON_NODE_HOLDS_ARRAY(right))
        return any_of(json_node_get_array(right), value);
    if (JSON_NODE_HOLDS_VALUE(right) && json_node_get_value_type(right) == G_TYPE_INT64)
        return json_node_get_int(right) == atoll(value) ? YES : NO;
    if (JSON_NODE_HOLDS_VALUE(right) && json_node_get_value_type(right) == G_TYPE_STRING)
        return equal_text(json_node_get_string(right), value);
    if (o && json_object_has_member(o, "set") && JSON_NODE_HOLDS_ARRAY(json_object_get_member(o, "set")))
        return any_of(json_object_get_array_member(o, "set"), value);
    if (member(o, "prefix"))
        return in_prefix(member(o, "prefix"), value);
    if (o && json_object_has_member(o, "range"))
        return in_range(json_object_get_array_member(o, "range"), value);
    return PERHAPS;
}

/* The interface that is not known is at least not the one at the packet's other end. */
static bool elsewhere(const Packet *p, JsonObject *match)
{
    JsonObject *left = member(match, "left"), *meta = member(left, "meta");
    const char *other = p->in ? p->in : p->out;
    return meta && other && strstr("iifname oifname", text(meta, "key")) && !strcmp(text(match, "right"), other);
}

static Known matches(const Packet *p, JsonObject *match)
{
    bool none;
    const char *op = text(match, "op");
    g_autofree char *value = value_of(p, json_object_get_member(match, "left"), &none);
    if (none)
        return NO;
    if (!value && !elsewhere(p, match))
        return PERHAPS;
    Known k = value ? equal(json_object_get_member(match, "right"), value) : NO;
    if (!strcmp(op, "!="))
        return YES - k;
    return !strcmp(op, "==") || !strcmp(op, "in") ? k : PERHAPS;
}

/* ---- chains */
static void ended(Walk *w, JsonObject *chain, int handle, bool perhaps)
{
    Drop *d = g_new0(Drop, 1);
    *d = (Drop){ w->packet, g_strdup(text(chain, "family")), g_strdup(text(chain, "table")), g_strdup(text(chain, handle ? "chain" : "name")), handle, perhaps || w->doubtful };
    g_ptr_array_add(w->drops, d);
}

static Verdict walk_chain(Walk *w, const char *name, Known sure);

static Verdict jump(Walk *w, JsonObject *to, Known sure)
{
    if (w->depth++ >= JUMPS_MAX)
        return GO_ON;
    Verdict v = walk_chain(w, text(to, "target"), sure);
    w->depth--;
    return v == RETURN ? GO_ON : v;
}

static Verdict statement(Walk *w, JsonObject *rule, const char *name, JsonNode *what, Known *sure);

/* { key : verdict, ... } */
static Verdict map(Walk *w, JsonObject *rule, JsonObject *vmap, Known sure)
{
    bool none;
    g_autofree char *value = value_of(w->packet, json_object_get_member(vmap, "key"), &none);
    JsonObject *data = member(vmap, "data");
    JsonArray *set = data && json_object_has_member(data, "set") ? json_object_get_array_member(data, "set") : NULL;
    for (guint i = 0; set && !none && i < json_array_get_length(set); i++) {
        JsonArray *pair = json_array_get_array_element(set, i);
        Known k = MIN(sure, value ? equal(json_array_get_element(pair, 0), value) : PERHAPS);
        JsonObject *verdict = k == NO ? NULL : json_array_get_object_element(pair, 1);
        g_autoptr(GList) names = verdict ? json_object_get_members(verdict) : NULL;
        Verdict v = names ? statement(w, rule, names->data, json_object_get_member(verdict, names->data), &k) : GO_ON;
        if (v != GO_ON)
            return v;
    }
    return GO_ON;
}

/* A verdict of a rule that only perhaps fits is remembered, and the walk goes on. */
static Verdict statement(Walk *w, JsonObject *rule, const char *name, JsonNode *what, Known *sure)
{
    JsonObject *o = JSON_NODE_HOLDS_OBJECT(what) ? json_node_get_object(what) : NULL;
    if (!strcmp(name, "match")) {
        *sure = MIN(*sure, matches(w->packet, o));
    } else if (!strcmp(name, "xt")) { /* of iptables: not told */
        *sure = MIN(*sure, PERHAPS);
    } else if (!strcmp(name, "drop") || !strcmp(name, "reject")) {
        ended(w, rule, json_object_get_int_member_with_default(rule, "handle", 0), *sure != YES);
        return *sure == YES ? DROP : GO_ON;
    } else if (!strcmp(name, "accept") || !strcmp(name, "queue")) {
        w->doubtful |= *sure != YES;
        return *sure == YES ? ACCEPT : GO_ON;
    } else if (!strcmp(name, "return")) {
        return *sure == YES ? RETURN : GO_ON;
    } else if (!strcmp(name, "jump") || !strcmp(name, "goto")) {
        Verdict v = jump(w, o, *sure);
        return v == GO_ON && *name == 'g' && *sure == YES ? RETURN : v;
    } else if (!strcmp(name, "vmap")) {
        return map(w, rule, o, *sure);
    }
    return GO_ON;
}

static Verdict walk_rule(Walk *w, JsonObject *rule, Known sure)
{
    JsonArray *parts = json_object_has_member(rule, "expr") ? json_object_get_array_member(rule, "expr") : NULL;
    for (guint i = 0; parts && sure != NO && i < json_array_get_length(parts); i++) {
        JsonNode *n = json_array_get_element(parts, i);
        g_autoptr(GList) names = JSON_NODE_HOLDS_OBJECT(n) ? json_object_get_members(json_node_get_object(n)) : NULL;
        Verdict v = names ? statement(w, rule, names->data, json_object_get_member(json_node_get_object(n), names->data), &sure) : GO_ON;
        if (v != GO_ON)
            return v;
    }
    return GO_ON;
}

static Verdict walk_chain(Walk *w, const char *name, Known sure)
{
    for (guint i = 0; i < json_array_get_length(w->objects); i++) {
        JsonObject *rule = object_at(w->objects, i, "rule");
        if (!rule || strcmp(text(rule, "chain"), name) || strcmp(text(rule, "table"), text(w->base, "table")) || strcmp(text(rule, "family"), text(w->base, "family")))
            continue;
        Verdict v = walk_rule(w, rule, sure);
        if (v != GO_ON)
            return v;
    }
    return GO_ON;
}

void firewall_walk(JsonNode *ruleset, const Packet *p, GPtrArray *drops)
{
    JsonObject *top = JSON_NODE_HOLDS_OBJECT(ruleset) ? json_node_get_object(ruleset) : NULL;
    JsonArray *objects = top && json_object_has_member(top, "nftables") ? json_object_get_array_member(top, "nftables") : NULL;
    for (guint i = 0; objects && i < json_array_get_length(objects); i++) {
        JsonObject *chain = object_at(objects, i, "chain");
        if (!chain || !g_strv_contains(p->hooks, text(chain, "hook")) || (strcmp(text(chain, "family"), "inet") && strcmp(text(chain, "family"), "ip")))
            continue;
        Walk w = { .objects = objects, .packet = p, .drops = drops, .base = chain };
        Verdict v = walk_chain(&w, text(chain, "name"), YES);
        if (v != ACCEPT && v != DROP && !strcmp(text(chain, "policy"), "drop"))
            ended(&w, chain, 0, false);
    }
}
