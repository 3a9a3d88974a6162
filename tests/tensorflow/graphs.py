"""The tutorial's two graphs, built with TensorFlow 1's API as the tutorial builds them.

Every variable is an unnamed tf.Variable, so that it is called Variable, Variable_1, ... in order of
creation; a saver without a list saves all of them, with the optimizer's slots and scalars.
"""

import numpy as np
import tensorflow.compat.v1 as tf

tf.logging.set_verbosity(tf.logging.ERROR)  # not each deprecated call
tf.disable_v2_behavior()


class Graph:
    """A network with its loss, optimizer and saver, in a session of its own.

    A pixel becomes float32(byte) * input_scale, whatever the graph's type. CIFAR-10's dropout is
    there only if keep_prob is below 1: no two programs drop the same units.
    """

    def __init__(
        self,
        network,
        input_scale,
        learning_rate,
        dtype=tf.float32,
        seed=1,
        keep_prob=1.0,
        config=None,
    ):
        self.dtype, self.input_scale = dtype, np.float32(input_scale)
        self.keep_prob = keep_prob
        with tf.Graph().as_default() as graph:
            tf.set_random_seed(seed)
            self.labels = tf.placeholder(tf.int32, [None])
            if network == "mnist":
                self._mnist()
                optimizer = tf.train.AdamOptimizer(learning_rate)
            else:
                self._cifar10()
                optimizer = tf.train.RMSPropOptimizer(learning_rate)
            self.probabilities = tf.nn.softmax(self.logits)
            self.losses = tf.nn.softmax_cross_entropy_with_logits(
                labels=tf.one_hot(self.labels, 10, dtype=dtype), logits=self.logits
            )
            self.loss = tf.reduce_mean(self.losses)
            self.step = optimizer.minimize(self.loss)
            self.saver = tf.train.Saver()
            self.initializer = tf.global_variables_initializer()
        self.session = tf.Session(graph=graph, config=config)

    def _mnist(self):
        self.images = tf.placeholder(self.dtype, [None, 28, 28, 1])
        x = self._pool(self._conv(self.images, [5, 5, 1, 32]), 2)
        x = self._pool(self._conv(x, [5, 5, 32, 64]), 2)
        x = tf.nn.relu(self._dense(tf.reshape(x, [-1, 7 * 7 * 64]), 7 * 7 * 64, 1024))
        self.logits = self._dense(x, 1024, 10)

    def _cifar10(self):
        self.images = tf.placeholder(self.dtype, [None, 32, 32, 3])
        x = self._pool(self._conv(self.images, [5, 5, 3, 64]), 3)
        x = self._pool(self._conv(x, [5, 5, 64, 64]), 3)
        x = self._conv(x, [3, 3, 64, 128])
        x = self._conv(x, [3, 3, 128, 128])
        x = self._conv(x, [3, 3, 128, 128])
        x = tf.nn.relu(self._dense(tf.reshape(x, [-1, 8 * 8 * 128]), 8 * 8 * 128, 384))
        if self.keep_prob < 1:
            x = tf.nn.dropout(x, keep_prob=self.keep_prob)
        self.logits = self._dense(x, 384, 10)

    def _weights(self, shape):
        return tf.Variable(tf.truncated_normal(shape, stddev=0.05, dtype=self.dtype))

    def _bias(self, count):
        return tf.Variable(tf.constant(0.1, self.dtype, [count]))

    def _conv(self, x, shape):
        weights, bias = self._weights(shape), self._bias(shape[3])
        return tf.nn.relu(tf.nn.conv2d(x, weights, strides=[1, 1, 1, 1], padding="SAME") + bias)

    @staticmethod
    def _pool(x, size):
        return tf.nn.max_pool(x, [1, size, size, 1], strides=[1, 2, 2, 1], padding="SAME")

    def _dense(self, x, inputs, outputs):
        weights, bias = self._weights([inputs, outputs]), self._bias(outputs)
        return tf.matmul(x, weights) + bias

    def initialize(self):
        self.session.run(self.initializer)

    def restore(self, prefix):
        """As tf.train.Saver does: every variable, slot and scalar must be in the checkpoint."""
        self.saver.restore(self.session, prefix)

    def restore_converted(self, prefix):
        """The same for a float64 graph, from a checkpoint of float32."""
        reader = tf.train.load_checkpoint(prefix)
        with self.session.graph.as_default():
            for variable in tf.global_variables():
                variable.load(reader.get_tensor(variable.op.name), self.session)

    def change_last_bits(self, generator):
        """Moves each element of each variable to one of its two neighbours in float32."""
        with self.session.graph.as_default():
            for variable in tf.trainable_variables():
                values = variable.eval(self.session)
                towards = generator.choice(np.float32([-np.inf, np.inf]), values.shape)
                variable.load(np.nextafter(values, towards), self.session)

    def save(self, save_path, step):
        return self.saver.save(self.session, save_path, global_step=step, write_meta_graph=False)

    def _feed(self, images, labels):
        return {self.images: images.astype(np.float32) * self.input_scale, self.labels: labels}

    def train(self, batches):
        """One step a batch of (images, labels); the losses before each update."""
        return np.array(
            [self.session.run([self.loss, self.step], self._feed(*batch))[0] for batch in batches]
        )

    def outputs(self, images):
        """Logits and probabilities."""
        feed = self._feed(images, np.zeros(len(images), np.int32))
        return self.session.run([self.logits, self.probabilities], feed)

    def evaluate(self, images, labels, chunk=500):
        """(number of images classified correctly, mean loss)"""
        correct, losses = 0, []
        for first in range(0, len(images), chunk):
            part = slice(first, first + chunk)
            feed = self._feed(images[part], labels[part])
            probabilities, loss = self.session.run([self.probabilities, self.losses], feed)
            correct += int((probabilities.argmax(1) == labels[part]).sum())
            losses.append(loss)
        return correct, float(np.concatenate(losses).mean())
