#!/usr/bin/env python3
"""The functions of libatoll from calls.txt.

    gen_calls.py calls.txt --header OUT | --source OUT
"""
import sys

CLASSES = {"connection": "AtollConnection", "domain": "AtollDomain", "snapshot": "AtollSnapshot", "network": "AtollNetwork", "pool": "AtollPool", "volume": "AtollVolume"}
OBJECTS = {"D": ("AtollDomain", "ATOLL_TYPE_DOMAIN", "(ssi)"), "N": ("AtollNetwork", "ATOLL_TYPE_NETWORK", "(ss)"), "P": ("AtollPool", "ATOLL_TYPE_POOL", "(ss)"),
           "V": ("AtollVolume", "ATOLL_TYPE_VOLUME", "(sss)"), "T": ("AtollSnapshot", "ATOLL_TYPE_SNAPSHOT", "(s(ssi))"),
           "S": ("AtollSecret", "ATOLL_TYPE_SECRET", "(sis)"), "d": ("AtollNodeDevice", "ATOLL_TYPE_NODE_DEVICE", "s")}
HANDLES = {"AtollDomain": "(ssi)", "AtollSnapshot": "(s(ssi))", "AtollNetwork": "(ss)", "AtollPool": "(ss)", "AtollVolume": "(sss)"}
C_TYPES = {"s": "const char *", "o": "const char *", "i": "int ", "u": "guint ", "t": "guint64 ", "x": "gint64 "}
NUMBERS = {"i": "int", "u": "guint", "t": "guint64", "b": "gboolean"}
TAIL = "GCancellable *cancellable, GError **error"
ASYNC_TAIL = "GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data"


class Row:
    def __init__(self, line):
        self.cls, self.name, self.procedure, args, self.result, self.doc = (word.strip() for word in line.split("|"))
        self.type, self.function = CLASSES[self.cls], f"atoll_{self.cls}_{self.name}"
        self.args = [tuple(word.rsplit(":", 1)) for word in args.split()]
        self.given = [(name, letter) for name, letter in self.args if not name.startswith("=")]

    def parameters(self):
        return [f"{self.type} *self"] + [f"{C_TYPES[t]}{n}" if t in C_TYPES else f"{OBJECTS[t][0]} *{n}" for n, t in self.given]

    def out(self):
        return [f"{NUMBERS[self.result]} *ret_value"] if self.result in NUMBERS else []

    def c_result(self):
        if self.result in OBJECTS:
            return OBJECTS[self.result][0] + " *"
        return {"s": "char *", "v": "GVariant *"}.get(self.result, "GPtrArray *" if self.result.startswith("[") else "gboolean ")

    def prototypes(self):
        return [f"{self.c_result()}{self.function}_sync({', '.join(self.parameters() + self.out() + [TAIL])})",
                f"void {self.function}({', '.join(self.parameters() + [ASYNC_TAIL])})",
                f"{self.c_result()}{self.function}_finish({', '.join([self.type + ' *self', 'GAsyncResult *result'] + self.out() + ['GError **error'])})"]

    def arguments(self):
        """The C expression of the call's tuple."""
        types, values = "", []
        if self.cls != "connection":
            types += "@" + HANDLES[self.type]
            values.append("atoll_object_get_handle(ATOLL_OBJECT(self))")
        for name, letter in self.args:
            if name == "=nothing":
                types += "@" + letter
                values.append(f'g_variant_new_maybe(G_VARIANT_TYPE("{letter[1:]}"), NULL)')
            elif name.startswith("="):
                types += letter
                values.append(name[1:])
            elif letter in OBJECTS:
                types += "@" + OBJECTS[letter][2]
                values.append(f"atoll_object_get_handle(ATOLL_OBJECT({name}))")
            else:
                types += {"o": "ms"}.get(letter, letter)
                values.append(name)
        return f'g_variant_new({", ".join([chr(34) + "(" + types + ")" + chr(34)] + values)})' if types else "NULL"

    def take(self):
        """Statements that make the function's result of `results`."""
        if self.result == "-":
            return "    return results != NULL;"
        fail = "    if (!results)\n        return %s;\n" % ("FALSE" if self.result in NUMBERS else "NULL")
        if self.result == "v":
            return "    return g_steal_pointer(&results);"
        if self.result == "s":
            return fail + '    char *value;\n    g_variant_get_child(results, 0, "s", &value);\n    return value;'
        if self.result in NUMBERS:
            return fail + f'    if (ret_value)\n        g_variant_get_child(results, 0, "{self.result.replace("b", "i")}", ret_value);\n    return TRUE;'
        connection = "self" if self.cls == "connection" else "atoll_object_get_connection(ATOLL_OBJECT(self))"
        if self.result in OBJECTS:
            c, gtype, _ = OBJECTS[self.result]
            return fail + f"    g_autoptr(GVariant) handle = g_variant_get_child_value(results, 0);\n    return ({c} *)atoll_object_new({gtype}, {connection}, handle);"
        return fail + f"    return objects_of({OBJECTS[self.result[1]][1]}, {connection}, results);"

    def doc_of(self, which):
        lines = [f" * {self.function}{which}:", f" * @self: the {self.cls}"]
        if which != "_finish":
            lines += [f" * @{n}:{' (nullable):' if t == 'o' else ''} {self.what(n)}" for n, t in self.given]
        else:
            lines.append(" * @result: what the callback got")
        if which != "" and self.out():
            lines.append(" * @ret_value: (out) (optional): the answer")
        if which != "_finish":
            lines.append(" * @cancellable: (nullable): a #GCancellable")
        lines += [" * @callback: called with the result", " * @user_data: for @callback"] if which == "" else [" * @error: return location for a #GError"]
        lines += [" *", f" * {self.doc}"]
        if which != "":
            many = self.result.startswith("[")
            note = f" (element-type {OBJECTS[self.result[1]][0]})" if many else ""
            full = f" (transfer {'container' if many else 'full'}){note}:" if self.result in OBJECTS or self.result in ("s", "v") or many else ""
            lines += [" *", f" * Returns:{full} {'whether it succeeded' if self.result == '-' or self.result in NUMBERS else 'the answer'}"]
        return "\n".join(["/**", *lines, " */"])

    @staticmethod
    def what(name):
        return {"flags": "flags, or 0", "xml": "the document", "name": "its name"}.get(name, f"the {name}")

    def source(self):
        connection = "self" if self.cls == "connection" else "atoll_object_get_connection(ATOLL_OBJECT(self))"
        protos = self.prototypes()
        return "\n".join([
            self.doc_of("_sync"), protos[0], "{", f'    g_autoptr(GVariant) results = atoll_connection_call_sync({connection}, "{self.procedure}", {self.arguments()}, cancellable, error);',
            self.take(), "}", "", self.doc_of(""), protos[1], "{",
            f'    call_async(G_OBJECT(self), {connection}, "{self.procedure}", {self.arguments()}, cancellable, callback, user_data);', "}", "",
            self.doc_of("_finish"), protos[2], "{", "    g_autoptr(GVariant) results = g_task_propagate_pointer(G_TASK(result), error);", self.take(), "}", ""])


HEAD = """/* Made by gen_calls.py from calls.txt. */
#include <atoll/atoll.h>

static void on_called(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GTask) task = data;
    GError *error = NULL;
    GVariant *results = atoll_connection_call_finish(ATOLL_CONNECTION(source), result, &error);
    if (results)
        g_task_return_pointer(task, results, (GDestroyNotify)g_variant_unref);
    else
        g_task_return_error(task, error);
}

static void call_async(GObject *self, AtollConnection *connection, const char *procedure, GVariant *arguments, GCancellable *cancellable, GAsyncReadyCallback callback,
                       gpointer user_data)
{
    GTask *task = g_task_new(self, cancellable, callback, user_data);
    atoll_connection_call(connection, procedure, arguments, cancellable, on_called, task);
}

/* The first result is an array of handles. */
static GPtrArray *objects_of(GType type, AtollConnection *connection, GVariant *results)
{
    g_autoptr(GVariant) handles = g_variant_get_child_value(results, 0);
    GPtrArray *list = g_ptr_array_new_with_free_func(g_object_unref);
    for (gsize i = 0; i < g_variant_n_children(handles); i++) {
        g_autoptr(GVariant) handle = g_variant_get_child_value(handles, i);
        g_ptr_array_add(list, atoll_object_new(type, connection, handle));
    }
    return list;
}
"""


def main(table, what, out):
    with open(table, encoding="utf-8") as lines:
        rows = [Row(line) for line in lines if line.strip() and not line.startswith("#")]
    if what == "--header":
        text = "\n".join(["#pragma once", "/* Made by gen_calls.py from calls.txt. */", "#include <atoll/atoll-object.h>", "", "G_BEGIN_DECLS", "",
                          *[proto + ";" for row in rows for proto in row.prototypes()], "", "G_END_DECLS", ""])
    else:
        text = "\n".join([HEAD, *[row.source() for row in rows]])
    with open(out, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
